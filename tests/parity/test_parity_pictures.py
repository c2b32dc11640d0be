"""The mesh's pictures against diffusers' own pipelines: same weights, seed and settings, same picture.

Tolerance (fp32): at most 2/255 on any pixel and 0.1/255 on average; what differs is the order of sums only.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray

import unet_svc.schedulers
from local.demo import CANNY, source_picture
from preprocess_svc.hints import make_hint
from tests.parity.reference import Reference, difference
from tests.running import DEMO_WEIGHTS, control, picture

SCHEDULERS = (
    "DDIMScheduler",
    "DPMSolverMultistepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "UniPCMultistepScheduler",
)
# The rest of the table, each under both kinds of model once.
FURTHER = tuple(sorted(set(unet_svc.schedulers.SCHEDULERS) - set(SCHEDULERS)))
SIZES = {"square": (128, 128), "wide": (136, 96)}
MODELS = ("demo", "tiny")
MOST, MEAN = 2, 0.1


@pytest.fixture(scope="module")
def references(tiny_weights: Path) -> dict[str, Reference]:
    return {"demo": Reference(DEMO_WEIGHTS), "tiny": Reference(tiny_weights)}


def edges(width: int, height: int) -> NDArray[np.uint8]:
    return make_hint("canny", source_picture(), True, CANNY, (width, height))


def settings(scheduler: str, size: tuple[int, int], seed: int = 11, steps: int = 8) -> dict[str, Any]:
    return {
        "prompt": "a red star on a green background",
        "negative_prompt": "a blue ring",
        "scheduler": scheduler,
        "seed": seed,
        "width": size[0],
        "height": size[1],
        "steps": steps,
        "guidance_scale": 3.0,
    }


def assert_equal(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> None:
    most, mean = difference(ours, theirs)
    assert most <= MOST
    assert mean < MEAN


def compare(
    client: httpx2.Client, reference: Reference, scheduler: str, model: str, steered: bool, size: tuple[int, int]
) -> None:
    """One picture of both sides, steered by canny or free."""
    asked = settings(scheduler, size)
    hints = {"canny": edges(*size)} if steered else {}
    controls = [control(kind, hint) for kind, hint in hints.items()]
    ours = picture(client, {**asked, "model": model, "controls": controls})
    assert_equal(ours, reference.picture(asked.pop("prompt"), hints, **asked))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("steered", [True, False], ids=["canny", "free"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_picture_is_diffusers_picture(
    client: httpx2.Client, references: dict[str, Reference], scheduler: str, steered: bool, size: str, model: str
) -> None:
    compare(client, references[model], scheduler, model, steered, SIZES[size])


@pytest.mark.parametrize(("model", "steered", "size"), [("demo", True, "square"), ("tiny", False, "wide")])
@pytest.mark.parametrize("scheduler", FURTHER)
def test_every_other_scheduler_s_picture_is_diffusers_picture(
    client: httpx2.Client, references: dict[str, Reference], scheduler: str, model: str, steered: bool, size: str
) -> None:
    compare(client, references[model], scheduler, model, steered, SIZES[size])


def test_a_different_seed_is_a_different_picture(client: httpx2.Client) -> None:
    """The comparison above can fail."""
    asked = settings("DDIMScheduler", (128, 128))
    most, _ = difference(picture(client, asked), picture(client, {**asked, "seed": 12}))
    assert most > 20


def test_the_hint_changes_the_picture_and_its_weight_is_diffusers_weight(
    client: httpx2.Client, references: dict[str, Reference]
) -> None:
    asked = settings("UniPCMultistepScheduler", (128, 128))
    hint = edges(128, 128)
    half = picture(client, {**asked, "controls": [control("canny", hint, weight=0.5)]})
    free = picture(client, asked)
    assert difference(half, free)[0] > 20
    theirs = references["demo"].picture(
        asked.pop("prompt"), {"canny": hint}, controlnet_conditioning_scale=0.5, **asked
    )
    assert_equal(half, theirs)


def test_a_control_window_is_diffusers_window(client: httpx2.Client, references: dict[str, Reference]) -> None:
    """The mesh leaves the ControlNet out of steps outside its window; diffusers computes it and multiplies by 0."""
    asked = settings("DDIMScheduler", (128, 128), steps=10)
    hint = edges(128, 128)
    ours = picture(client, {**asked, "controls": [control("canny", hint, start=0.2, end=0.6)]})
    theirs = references["demo"].picture(
        asked.pop("prompt"), {"canny": hint}, control_guidance_start=0.2, control_guidance_end=0.6, **asked
    )
    assert_equal(ours, theirs)


def test_two_controls_are_diffusers_two_controls(client: httpx2.Client, references: dict[str, Reference]) -> None:
    asked = settings("UniPCMultistepScheduler", (128, 128))
    hints = {"canny": edges(128, 128), "depth": np.full((128, 128, 3), 90, np.uint8)}
    hints["depth"][40:90, 30:100] = 200
    weights = {"canny": 0.8, "depth": 0.6}
    controls = [control(kind, hint, weight=weights[kind]) for kind, hint in reversed(hints.items())]
    ours = picture(client, {**asked, "controls": controls})
    theirs = references["demo"].picture(
        asked.pop("prompt"), hints, controlnet_conditioning_scale=list(weights.values()), **asked
    )
    assert_equal(ours, theirs)


def test_a_combination_that_stands_in_no_repository_is_registered_on_first_use(
    client: httpx2.Client, references: dict[str, Reference]
) -> None:
    """canny twice, each with a map and a weight of its own."""
    asked = settings("DDIMScheduler", (128, 128), steps=5)
    first, second = edges(128, 128), np.ascontiguousarray(edges(128, 128)[:, ::-1])
    ours = picture(
        client,
        {**asked, "controls": [control("canny", first, weight=0.7), control("canny", second, weight=0.4)]},
    )
    theirs = references["demo"].picture_of_many(
        asked.pop("prompt"), [("canny", first, 0.7), ("canny", second, 0.4)], **asked
    )
    assert_equal(ours, theirs)


def test_without_guidance_one_row_is_computed_and_the_picture_is_the_same(
    client: httpx2.Client, references: dict[str, Reference]
) -> None:
    asked = {**settings("UniPCMultistepScheduler", (128, 128)), "guidance_scale": 1.0}
    hints = {"canny": edges(128, 128)}
    ours = picture(client, {**asked, "controls": [control("canny", hints["canny"])]})
    assert_equal(ours, references["demo"].picture(asked.pop("prompt"), hints, **asked))


def test_a_picture_in_a_mixed_batch_is_the_picture_alone(
    client: httpx2.Client, references: dict[str, Reference]
) -> None:
    """Eight at once: other schedulers, seeds, step counts, controls; each equals diffusers' single run."""
    hint = edges(128, 128)
    requests = [
        (settings(SCHEDULERS[number % 5], (128, 128), seed=number, steps=6 + number % 3), number % 2 == 0)
        for number in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        ours = list(
            pool.map(
                lambda row: picture(client, {**row[0], "controls": [control("canny", hint)] if row[1] else []}),
                requests,
            )
        )
    for (asked, steered), made in zip(requests, ours, strict=True):
        hints = {"canny": hint} if steered else {}
        assert_equal(made, references["demo"].picture(asked.pop("prompt"), hints, **asked))
