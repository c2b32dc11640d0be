"""Every field of DenoiseRequest is checked where it is read, and the message says what to change."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from controlmesh.v1 import types_pb2, unet_pb2
from families import limits
from mesh.errors import InvalidInput
from mesh.tensors import to_message
from tests.rigs.unet_tasks import CONFIGS, known_picture, make_facts, make_task, steps_of
from unet_svc.denoising import Denoising
from unet_svc.task import read_task

FACTS = make_facts(CONFIGS["v"])
HEIGHT, WIDTH = 64, 96
CELLS = (1, 4, 8, 12)


def zeros(*shape: int, dtype: type = np.float32) -> types_pb2.Tensor:
    return to_message(np.zeros(shape, dtype))


def posterior(**changes: Any) -> types_pb2.Posterior:
    return types_pb2.Posterior(**{"model": "x", "mean": zeros(*CELLS), "deviation": zeros(*CELLS), **changes})


def hint(kind: str, channels: int) -> types_pb2.Hint:
    return types_pb2.Hint(kind=kind, pixels=zeros(channels, HEIGHT, WIDTH, dtype=np.uint8), weight=1, end=1)


def request(conditioning: dict[str, Any] | None = None, **changes: Any) -> unet_pb2.DenoiseRequest:
    text = {"model": "x", "text": zeros(2, 77, 8), "width": WIDTH, "height": HEIGHT}
    whole = {"steps": 10, "guidance_scale": 7.5, "seed": 1, **changes}
    return unet_pb2.DenoiseRequest(conditioning=types_pb2.Conditioning(**text | (conditioning or {})), **whole)


def test_what_is_absent_is_left_open() -> None:
    task = read_task(request(), FACTS)
    assert (task.initial, task.mask, task.noise, task.strength, task.use_karras_sigmas) == (None,) * 5
    assert (task.guess_mode, task.algorithm_type, task.preview_every) == (False, "", 0)


def test_what_is_sent_is_read() -> None:
    mean, noise = np.full(CELLS, 2, np.float32), np.full(CELLS, 3, np.float32)
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    sent = request(
        {"mask": to_message(mask), "text": zeros(2, 77 * limits.PROMPT_CHUNKS, 8), "hints": [hint("inpaint", 4)]},
        initial=posterior(mean=to_message(mean)),
        noise=types_pb2.Latents(model="x", samples=to_message(noise)),
        strength=0.0,
        guess_mode=True,
        use_karras_sigmas=False,
        algorithm_type="dpmsolver",
        preview_every=3,
    )
    task = read_task(sent, FACTS)
    assert task.initial is not None
    np.testing.assert_array_equal(task.initial.mean, mean)
    np.testing.assert_array_equal(task.initial.deviation, np.zeros(CELLS))
    np.testing.assert_array_equal(np.asarray(task.mask), mask)
    np.testing.assert_array_equal(np.asarray(task.noise), noise)
    assert task.text.shape == (2, 77 * limits.PROMPT_CHUNKS, 8)
    # Zero and False are answers, too.
    assert (task.strength, task.use_karras_sigmas) == (0.0, False)
    assert (task.guess_mode, task.algorithm_type, task.preview_every) == (True, "dpmsolver", 3)


def _nan() -> types_pb2.Tensor:
    return to_message(np.full(CELLS, np.nan, np.float32))


REFUSED: dict[str, tuple[Callable[[], unet_pb2.DenoiseRequest], str, str]] = {
    "strength": (lambda: request(initial=posterior(), strength=1.5), "strength", "strength must be 0 to 1, not 1.5"),
    "strength alone": (lambda: request(strength=0.5), "strength", "needs an initial picture, but none was sent"),
    "mask alone": (
        lambda: request({"mask": zeros(HEIGHT, WIDTH, dtype=np.uint8)}),
        "mask",
        "needs an initial picture, but none was sent",
    ),
    "mask size": (
        lambda: request({"mask": zeros(8, 12, dtype=np.uint8)}, initial=posterior()),
        "mask",
        r"conditioning.mask must be \[64, 96\], not \[8, 12\]",
    ),
    "mask type": (
        lambda: request({"mask": zeros(HEIGHT, WIDTH)}, initial=posterior()),
        "conditioning.mask",
        "must be a uint8 tensor",
    ),
    "previews": (lambda: request(preview_every=-1), "preview_every", "preview_every must be 0 to 150, not -1"),
    "initial model": (lambda: request(initial=posterior(model="y")), "initial", "initial is of model 'y'"),
    "initial size": (
        lambda: request(initial=posterior(mean=zeros(1, 4, 8, 8))),
        "initial",
        r"initial.mean must be \[1, 4, 8, 12\], not \[1, 4, 8, 8\]",
    ),
    "initial numbers": (lambda: request(initial=posterior(mean=_nan())), "initial", "initial.mean must be finite"),
    "deviation size": (
        lambda: request(initial=posterior(deviation=zeros(1, 4, 8, 8))),
        "initial",
        "initial.deviation must be",
    ),
    "deviation below zero": (
        lambda: request(initial=posterior(deviation=to_message(np.full(CELLS, -1, np.float32)))),
        "initial",
        "initial.deviation must be 0 or more",
    ),
    "noise model": (
        lambda: request(noise=types_pb2.Latents(model="y", samples=zeros(*CELLS))),
        "noise",
        "noise is of model 'y'",
    ),
    "noise size": (
        lambda: request(noise=types_pb2.Latents(model="x", samples=zeros(2, 4, 8, 12))),
        "noise",
        r"noise.samples must be \[1, 4, 8, 12\], not \[2, 4, 8, 12\]",
    ),
    "text between chunks": (lambda: request({"text": zeros(2, 100, 8)}), "text", r"77 to 616, a multiple of 77.*100"),
    "text too long": (lambda: request({"text": zeros(2, 77 * 9, 8)}), "text", r"77 to 616, a multiple of 77.*693"),
    "text width": (lambda: request({"text": zeros(2, 77, 9)}), "text", r"of width 8, not shape \[2, 77, 9\]"),
    "text rows": (lambda: request({"text": zeros(3, 77, 8)}), "text", "1 or 2 rows"),
    "hint channels": (
        lambda: request({"hints": [hint("inpaint", 3)]}),
        "hints",
        r"hint inpaint must be \[4, 64, 96\], not \[3, 64, 96\]",
    ),
    "mask in a plain hint": (
        lambda: request({"hints": [hint("canny", 4)]}),
        "hints",
        r"hint canny must be \[3, 64, 96\], not \[4, 64, 96\]",
    ),
    "hints": (lambda: request({"hints": [hint("canny", 3)] * 6}), "hints", "at most 5 hints are allowed, not 6"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_t_be_is_refused(case: str) -> None:
    make, field, words = REFUSED[case]
    with pytest.raises(InvalidInput, match=words) as error:
        read_task(make(), FACTS)
    assert error.value.field == field


def test_a_model_that_takes_no_guidance_refuses_true_guidance() -> None:
    with pytest.raises(InvalidInput, match="has guidance_scale only: remove it") as caught:
        read_task(request(true_guidance_scale=2), FACTS)
    assert caught.value.field == "true_guidance_scale"


@pytest.mark.parametrize(("steps", "strength"), [(10, 0.0), (10, 0.09), (3, 0.3), (1, 0.9)])
async def test_a_strength_that_leaves_no_step_runs_one_and_says_so(steps: int, strength: float) -> None:
    task = make_task(CONFIGS["v"], "DDIMScheduler", steps, initial=known_picture(), strength=strength)
    found = Denoising(task)
    assert found.notes == (f"strength {strength:g} of {steps} steps leaves none to run; one was run",)
    least = make_task(CONFIGS["v"], "DDIMScheduler", steps, initial=known_picture(), strength=1.0)
    assert Denoising(least).notes == ()
    assert [step.total for step in await steps_of(task)] == [1]


def test_an_absent_strength_is_diffusers_own() -> None:
    task = make_task(CONFIGS["v"], "DDIMScheduler", 10, initial=known_picture())
    assert task.skipped == 2


def test_an_inversion_takes_one_whole_picture() -> None:
    def refused(field: str, **task: Any) -> None:
        with pytest.raises(InvalidInput, match="DDIMInverseScheduler") as error:
            Denoising(make_task(CONFIGS["v"], "DDIMInverseScheduler", **task))
        assert error.value.field == field

    refused("initial")
    refused("mask", initial=known_picture(), mask=np.zeros((64, 96), np.uint8))
    refused("noise", initial=known_picture(), noise=np.zeros(CELLS, np.float32))
