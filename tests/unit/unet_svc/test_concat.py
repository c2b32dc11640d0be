"""What a model reads beside the latents: which draws make it, what a request must have, and what is not applied."""

from typing import Any

import numpy as np
import pytest
import torch

from controlmesh.v1 import types_pb2, unet_pb2
from families.facts import Concat, ModelFacts
from mesh.errors import InvalidInput
from mesh.tensors import to_message
from tests.rigs.model_cards import facts
from tests.rigs.unet_tasks import CONFIGS, make_facts
from unet_svc.canvas import draw_canvas
from unet_svc.denoising import Denoising
from unet_svc.task import Task, read_task

NINE = make_facts(CONFIGS["v"], controls=(), concat=Concat())
_FLOW: dict[str, Any] = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "use_dynamic_shifting": False}
_FLUX: dict[str, Any] = {"name": "x", "family": "flux", "scheduler": _FLOW, "patch": 2, "nets": (), "text_width": 8}
FILL = facts(**_FLUX, concat=Concat(mask="blocks"))
CONTROL = facts(**_FLUX, concat=Concat(control="canny"))
CELLS, PIXELS = (1, 4, 8, 12), (64, 96)
MASK = np.zeros(PIXELS, np.uint8)
MASK[20:, 33:] = 255


def posterior(mean: float) -> types_pb2.Posterior:
    """Of that mean everywhere, with a deviation of 1: a draw of it is the noise that was drawn, and the mean."""
    shapes = np.full(CELLS, mean, np.float32), np.ones(CELLS, np.float32)
    return types_pb2.Posterior(model="x", mean=to_message(shapes[0]), deviation=to_message(shapes[1]))


def hint(kind: str = "canny", **changes: Any) -> types_pb2.Hint:
    return types_pb2.Hint(**{"kind": kind, "posterior": posterior(30), "weight": 1, "end": 1, **changes})


def task(model: ModelFacts, *hints: types_pb2.Hint, mask: bool = True, **changes: Any) -> Task:
    rows = 2 if model.family == "sd15" else 1
    conditioning = types_pb2.Conditioning(
        model="x",
        text=to_message(np.zeros((rows, 77, 8), np.float32)),
        hints=hints,
        width=PIXELS[1],
        height=PIXELS[0],
        mask=to_message(MASK) if mask else None,
    )
    whole = {"steps": 10, "guidance_scale": 7.5, "scheduler": "UniPCMultistepScheduler", "seed": 3, **changes}
    return read_task(unet_pb2.DenoiseRequest(conditioning=conditioning, **whole), model)


def drawn(count: int) -> list[torch.Tensor]:
    """What the seed draws, in its order."""
    generator = torch.Generator("cpu").manual_seed(3)
    return [torch.randn(CELLS, generator=generator) for _ in range(count)]


def canvas_of(asked: Task) -> Any:
    return draw_canvas(asked, torch.Generator("cpu").manual_seed(3))


def test_nine_channels_are_the_mask_and_the_masked_picture() -> None:
    found = canvas_of(task(NINE, initial=posterior(10), masked=posterior(20), strength=0.6))
    initial, noise, masked = drawn(3)
    torch.testing.assert_close(found.initial, initial + 10)
    torch.testing.assert_close(found.noise, noise)
    assert found.concat.shape == (1, 5, 8, 12)
    torch.testing.assert_close(found.concat[:, 1:], masked + 20)
    # The nearest pixel of a cell is its first.
    np.testing.assert_array_equal(found.concat[0, 0].numpy(), MASK[::8, ::8] / 255)
    assert found.mask is None, "nothing is put back after a step"


def test_nine_channels_from_noise_alone_draw_nothing_for_the_picture() -> None:
    found = canvas_of(task(NINE, initial=posterior(10), masked=posterior(20), strength=1.0))
    noise, masked = drawn(2)
    torch.testing.assert_close(found.noise, noise)
    torch.testing.assert_close(found.concat[:, 1:], masked + 20)
    assert found.initial is None


@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_fill_reads_the_masked_picture_and_the_pixels_of_the_mask(strength: float) -> None:
    found = canvas_of(task(FILL, initial=posterior(10), masked=posterior(20), strength=strength))
    _, noise, masked = drawn(3)
    torch.testing.assert_close(found.noise, noise)
    torch.testing.assert_close(found.concat[:, :4], masked + 20)
    pixels = MASK.reshape(8, 8, 12, 8).transpose(1, 3, 0, 2).reshape(64, 8, 12)
    np.testing.assert_array_equal(found.concat[0, 4:].numpy(), pixels / 255)


def test_a_control_is_drawn_first_and_read_as_it_is() -> None:
    asked = task(CONTROL, hint(), mask=False, initial=posterior(10), strength=0.6)
    own, initial, noise = drawn(3)
    found = canvas_of(asked)
    torch.testing.assert_close(found.concat, own + 30)
    torch.testing.assert_close(found.initial, initial + 10)
    torch.testing.assert_close(found.noise, noise)
    assert asked.hints == () and found.hints == ()
    np.testing.assert_array_equal(np.asarray(Denoising(asked).concat), found.concat.numpy())


def test_a_control_with_a_mask_comes_after_a_draw_for_the_masked_picture() -> None:
    found = canvas_of(task(CONTROL, hint(), initial=posterior(10), strength=0.6))
    _, own, _, noise = drawn(4)
    torch.testing.assert_close(found.concat, own + 30)
    torch.testing.assert_close(found.noise, noise)
    assert found.mask is not None, "what the mask keeps is put back"


def test_an_absent_strength_repaints_all() -> None:
    assert task(NINE, initial=posterior(10), masked=posterior(20)).share == 1.0
    assert task(CONTROL, hint(), initial=posterior(10)).share == 0.8


@pytest.mark.parametrize("model", [NINE, FILL])
def test_a_model_that_repaints_needs_a_mask_and_the_masked_picture(model: ModelFacts) -> None:
    for field, sent in (("mask", {"mask": False}), ("masked", {"initial": posterior(10)})):
        with pytest.raises(InvalidInput, match=f"{field} is missing: model 'x' repaints") as caught:
            task(model, **sent)  # type: ignore[arg-type]
        assert caught.value.field == field


@pytest.mark.parametrize("hints", [[], [hint(), hint()]])
def test_a_model_with_a_control_of_its_own_needs_exactly_one(hints: list[types_pb2.Hint]) -> None:
    with pytest.raises(InvalidInput, match=f"reads exactly one hint of canny, not {len(hints)}") as caught:
        task(CONTROL, *hints, mask=False)
    assert caught.value.field == "hints"


def test_a_weight_and_a_window_are_not_applied_and_said_so() -> None:
    notes = Denoising(task(CONTROL, hint(weight=0.5, start=0.25, end=0.75), mask=False)).notes
    words = "was not applied: model x reads the hint of canny itself, at every step as it is"
    assert notes == tuple(f"controls[0].{field} {words}" for field in ("weight", "start", "end"))
    assert Denoising(task(CONTROL, hint(), mask=False)).notes == ()


def test_no_scheduler_inverts_for_a_model_that_repaints() -> None:
    asked = task(NINE, initial=posterior(10), masked=posterior(20), scheduler="DDIMInverseScheduler")
    with pytest.raises(InvalidInput, match="model x repaints parts: name another") as caught:
        Denoising(asked)
    assert caught.value.field == "scheduler"
