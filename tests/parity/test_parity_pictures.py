"""What the matrix does not say: unusual combinations, several samples, records."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx2
import numpy as np
import pytest

from mesh.pictures import decode
from tests.parity.matrix import FEATURES, INVERTING, edges, nearness, repainted
from tests.parity.matrix import picture as source
from tests.parity.reference import MEAN, MOST, Asked, Pixels, Reference, Steered, assert_same, difference
from tests.rigs.mesh import DEMO_WEIGHTS, GENERATIONS, picture


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(DEMO_WEIGHTS)


def assert_equal(ours: Pixels, theirs: Pixels) -> None:
    most, mean = difference(ours, theirs)
    assert most <= MOST
    assert mean < MEAN


def test_a_different_seed_is_a_different_picture(client: httpx2.Client) -> None:
    """The comparisons can fail."""
    asked = Asked("DDIMScheduler")
    most, _ = difference(
        picture(client, asked.request("demo")), picture(client, replace(asked, seed=12).request("demo"))
    )
    assert most > 20


@pytest.fixture(scope="module")
def shown(client: httpx2.Client) -> Callable[[Asked], Pixels]:
    """Gives the demo model's picture of what is asked; the same one for the same request, which is sent once."""
    known: dict[str, Pixels] = {}

    def show(asked: Asked) -> Pixels:
        request = asked.request("demo")
        name = json.dumps(request, sort_keys=True)
        if name not in known:
            known[name] = picture(client, request)
        return known[name]

    return show


@pytest.mark.parametrize("feature", sorted(set(FEATURES) - {"free", "inpaint hint"}))
def test_every_feature_changes_the_picture(shown: Callable[[Asked], Pixels], feature: str) -> None:
    """A feature that were ignored on both sides would pass the matrix."""
    asked = FEATURES[feature](Asked("DPMSolverMultistepScheduler"))
    base = replace(asked, controls=(), image=None, mask=None, strength=None, guess_mode=False, options={})
    if asked.options or asked.guess_mode or asked.guidance_scale == 1 or "window" in feature:
        base = replace(asked, controls=(Steered("canny", edges()),), options={}, guess_mode=False, guidance_scale=3.0)
    if "inpaint" in feature and feature != "inpaint":
        base = FEATURES["inpaint"](Asked(asked.scheduler))
    assert difference(shown(asked), shown(base))[0] > 4


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
