"""What the matrix does not say: unusual combinations, company in a batch, restarts, several samples, records."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from local.supervision import LocalMesh
from mesh.pictures import decode
from tests.parity.matrix import COMPARED, FEATURES, INVERTING, edges, nearness, repainted
from tests.parity.matrix import picture as source
from tests.parity.reference import MEAN, MOST, Asked, Pixels, Reference, Steered, difference
from tests.rigs.mesh import DEMO_WEIGHTS, GENERATIONS, local_settings, mesh_environment, picture

#: A picture must not depend on what is computed beside it: at most one 255th, on no more than a thousandth.
APART, SHARE = 1, 0.001


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(DEMO_WEIGHTS)


def assert_equal(ours: Pixels, theirs: Pixels) -> None:
    most, mean = difference(ours, theirs)
    assert most <= MOST
    assert mean < MEAN


def assert_same(ours: Pixels, again: Pixels) -> None:
    """But for the order of sums, which may follow the size of the batch."""
    apart = np.abs(ours.astype(int) - again.astype(int)).max(axis=-1)
    assert apart.max() <= APART
    assert (apart > 0).mean() <= SHARE


def test_a_different_seed_is_a_different_picture(client: httpx2.Client) -> None:
    """The comparisons can fail."""
    asked = Asked("DDIMScheduler")
    most, _ = difference(
        picture(client, asked.request("demo")), picture(client, replace(asked, seed=12).request("demo"))
    )
    assert most > 20


@pytest.mark.parametrize("feature", sorted(set(FEATURES) - {"free", "inpaint hint"}))
def test_every_feature_changes_the_picture(client: httpx2.Client, feature: str) -> None:
    """A feature that were ignored on both sides would pass the matrix."""
    asked = FEATURES[feature](Asked("DPMSolverMultistepScheduler"))
    base = replace(asked, controls=(), image=None, mask=None, strength=None, guess_mode=False, options={})
    if asked.options or asked.guess_mode or asked.guidance_scale == 1 or "window" in feature:
        base = replace(asked, controls=(Steered("canny", edges()),), options={}, guess_mode=False, guidance_scale=3.0)
    if "inpaint" in feature and feature != "inpaint":
        base = FEATURES["inpaint"](Asked(asked.scheduler))
    assert difference(picture(client, asked.request("demo")), picture(client, base.request("demo")))[0] > 4


def test_a_combination_that_stands_in_no_repository_is_registered_on_first_use(
    client: httpx2.Client, reference: Reference
) -> None:
    """canny twice, each with a map and a weight of its own, and depth."""
    mirrored = np.ascontiguousarray(edges()[:, ::-1])
    controls = (Steered("canny", edges(), 0.7), Steered("canny", mirrored, 0.4), Steered("depth", nearness(), 0.5))
    asked = Asked("DDIMScheduler", steps=5, controls=controls)
    assert_equal(picture(client, asked.request("demo")), reference.picture(asked))


def test_an_inverted_picture_is_diffusers_inversion(client: httpx2.Client, reference: Reference) -> None:
    """Over HTTP the inversion's result is the picture of the noise."""
    asked = Asked(INVERTING, image=source(), guidance_scale=1.0)
    assert_equal(picture(client, asked.request("demo")), reference.picture(asked))


def mixed(count: int) -> list[Asked]:
    """That many requests that differ in scheduler, seed, steps and kind."""
    features = ("canny", "free", "img2img", "inpaint canny", "canny + depth", "guess mode")
    return [
        replace(
            FEATURES[features[number % len(features)]](Asked(COMPARED[number * 5 % len(COMPARED)])),
            seed=number,
            steps=6 + number % 3,
        )
        for number in range(count)
    ]


def test_a_picture_does_not_depend_on_its_neighbours(client: httpx2.Client, mesh: LocalMesh, again: LocalMesh) -> None:
    """Eight requests alone, all at once, and all at once on a mesh that has just started."""
    requests = [asked.request("demo") for asked in mixed(8)]
    alone = [picture(client, request) for request in requests]
    with httpx2.Client(base_url=again.url, timeout=120) as other, ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda request: picture(client, request), requests))
        restarted = list(pool.map(lambda request: picture(other, request), requests))
    for one, crowded, later in zip(alone, together, restarted, strict=True):
        assert_same(one, crowded)
        assert_same(one, later)


@pytest.fixture
def again(repository: Path, tmp_path: Path) -> Iterator[LocalMesh]:
    """A second mesh over the same models, as after a restart."""
    with LocalMesh(local_settings(repository, tmp_path), mesh_environment(CN_GATEWAY_DEFAULT_MODEL="demo")) as running:
        yield running


@pytest.mark.parametrize("feature", ["canny", "img2img", "inpaint"])
def test_each_of_several_samples_is_its_own_single_run(client: httpx2.Client, feature: str) -> None:
    request = FEATURES[feature](Asked("EulerAncestralDiscreteScheduler", seed=2**32 - 2)).request("demo")
    made = _record(client, {**request, "samples": 4})["images"]
    assert [image["seed"] for image in made] == [2**32 - 2, 2**32 - 1, 0, 1]
    for image in made:
        sample = decode(client.get(image["url"]).raise_for_status().content)
        assert_same(sample, picture(client, {**request, "seed": image["seed"]}))


def test_a_picture_can_be_made_again_from_its_record(client: httpx2.Client) -> None:
    """Nothing but a prompt and pictures is asked for: size, seed and all else come back in the record."""
    asked = Asked("UniPCMultistepScheduler", image=source(136, 96), mask=repainted(136, 96)).request("demo")
    pictures = {name: asked[name] for name in ("image", "mask")}
    record = _record(client, {"prompt": "a red star", "model": "demo", **pictures})
    first = decode(client.get(record["images"][0]["url"]).raise_for_status().content)
    assert_same(first, picture(client, {**record["request"], **pictures}))


def _record(client: httpx2.Client, request: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = client.post(f"{GENERATIONS}?wait=120", json=request).raise_for_status().json()
    assert record["status"] == "succeeded", record
    return record
