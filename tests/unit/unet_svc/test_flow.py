"""Loops over a flow against a target whose distribution is known exactly, and what walks a flow for which scheduler.

Every cell of the target is normal with mean 0.5 and deviation 0.6, and the network knows it. Of 20 steps, methods of
first order lose some of the deviation; those of second order keep it.
"""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from families.facts import ModelFacts
from mesh.errors import InvalidInput
from tests.rigs.model_cards import facts
from tests.rigs.unet_tasks import DEVIATION, MEAN, latents_of
from unet_svc.denoising import Denoising
from unet_svc.loops.flow import shift_of
from unet_svc.schedulers import ANCESTRAL, EULER, FLOW, FLOW_ONLY, HEUN, SCHEDULERS, default_scheduler, find_scheduler
from unet_svc.task import Posterior, Task

SIZE = (48, 48)
FIXED: dict[str, Any] = {"_class_name": EULER, "shift": 3.0, "use_dynamic_shifting": False}
DYNAMIC: dict[str, Any] = {**FIXED, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
NAMES = tuple(name for name, kind in SCHEDULERS.items() if kind.on_flow) + FLOW_ONLY
# Name of a row of FLOW -> least and largest deviation of what 20 steps of it draw.
DRAWN = {
    EULER: (0.50, 0.60),
    ANCESTRAL: (0.45, 0.66),
    HEUN: (0.57, 0.63),
    "UniPCMultistepScheduler": (0.56, 0.63),
    "DPMSolverMultistepScheduler": (0.56, 0.63),
    "DPMSolverSinglestepScheduler": (0.52, 0.63),
}


def flux(config: dict[str, Any]) -> ModelFacts:
    return facts(name="f", family="flux", scheduler=config, patch=2, latent_channels=4)


def task(config: dict[str, Any], scheduler: str, steps: int = 20, **more: Any) -> Task:
    text = np.zeros((1, 77, 32), np.float32)
    return Task(flux(config), text, (), *SIZE, scheduler, steps, 3.5, 3, **more)


async def known(sample: NDArray[Any], timestep: float, step: int, steps: int) -> NDArray[Any]:
    """The network that knows the target: noise - picture, as expected of z = (1 - sigma) picture + sigma noise."""
    sigma = timestep / 1000
    variance = (1 - sigma) ** 2 * DEVIATION**2 + sigma**2
    off = sample - (1 - sigma) * MEAN
    picture = MEAN + (1 - sigma) * DEVIATION**2 / variance * off
    return (sigma / variance * off - picture).astype(np.float32)


@pytest.mark.parametrize("config", [FIXED, DYNAMIC], ids=["fixed shift", "dynamic shift"])
@pytest.mark.parametrize("name", NAMES)
async def test_the_loop_draws_from_the_target(name: str, config: dict[str, Any]) -> None:
    kind, _ = find_scheduler(name, flux(config))
    least, largest = DRAWN[next(row for row, one in FLOW.items() if one is kind)]
    drawn = await latents_of(task(config, name), known)
    assert drawn.mean() == pytest.approx(MEAN, abs=0.04)
    assert least <= drawn.std() <= largest


@pytest.mark.parametrize("name", NAMES)
async def test_the_same_seed_draws_the_same(name: str) -> None:
    first, again = [await latents_of(task(DYNAMIC, name, 6), known) for _ in range(2)]
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("name", [EULER, HEUN, "EulerAncestralDiscreteScheduler", "UniPCMultistepScheduler"])
async def test_less_strength_keeps_more_of_the_picture(name: str) -> None:
    cells = np.random.default_rng(5).normal(MEAN, DEVIATION, (1, 4, *SIZE)).astype(np.float32)
    picture = Posterior(cells, np.zeros_like(cells))
    shared = []
    for strength in (0.1, 0.4, 1.0):
        drawn = await latents_of(task(FIXED, name, initial=picture, strength=strength), known)
        shared.append(np.corrcoef(drawn.ravel(), cells.ravel())[0, 1])
    assert shared[0] > shared[1] > shared[2]
    assert shared[0] > 0.7
    assert abs(shared[2]) < 0.15


def test_what_stands_in_for_another_is_said() -> None:
    ours = flux(DYNAMIC)
    for name, kind in SCHEDULERS.items():
        if not kind.on_flow:
            with pytest.raises(InvalidInput, match=r"can't walk a flow.*FlowMatchEulerDiscreteScheduler"):
                find_scheduler(name, ours)
            continue
        found, notes = find_scheduler(name, ours)
        assert found is FLOW[kind.on_flow]
        assert [note.startswith(f"{name} walks no flow") for note in notes] == ([] if kind.on_flow == name else [True])


def test_a_flow_s_own_default_is_taken_and_no_other_model_takes_it() -> None:
    assert default_scheduler(flux(DYNAMIC)) == EULER
    assert default_scheduler(flux({"_class_name": "DDIMScheduler"})) == EULER
    for name in FLOW_ONLY:
        with pytest.raises(InvalidInput, match="walks flows, and model 'small' is none"):
            find_scheduler(name, facts())


def test_karras_sigmas_are_ignored_with_a_note() -> None:
    """On a flow they are wrong, or not numbers at all."""
    for name in ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "EulerDiscreteScheduler"):
        asked = task(DYNAMIC, name, use_karras_sigmas=True)
        assert any("use_karras_sigmas" in note for note in Denoising(asked).notes), name


def test_the_shift_grows_with_the_picture() -> None:
    assert shift_of({}, 256) == pytest.approx(0.5)
    assert shift_of({}, 4096) == pytest.approx(1.15)
    assert shift_of({"base_image_seq_len": 1, "max_image_seq_len": 3, "base_shift": 1, "max_shift": 2}, 2) == 1.5


@pytest.mark.parametrize(("strength", "skipped"), [(0.6, 1), (0.5, 2), (1.0, 0), (0.1, 3)])
def test_what_a_picture_saves_is_rounded_down(strength: float, skipped: int) -> None:
    """Of 4 steps at strength 0.6, diffusers' FLUX pipelines run 3, its Stable Diffusion ones 2."""
    cells = np.zeros((1, 4, *SIZE), np.float32)
    assert task(FIXED, EULER, 4, initial=Posterior(cells, cells), strength=strength).skipped == skipped
