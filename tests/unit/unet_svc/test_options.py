"""What a scheduler can't take is said, and what it takes reaches diffusers."""

import inspect
from typing import Any, get_args

import diffusers
import numpy as np
import pytest

from mesh.errors import InvalidInput
from tests.rigs.unet_tasks import CONFIGS, known_picture, latents_of, make_task
from unet_svc.denoising import Denoising
from unet_svc.options import read_options
from unet_svc.schedulers import ALGORITHM_TYPES, SCHEDULERS


def arguments(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(SCHEDULERS[name].cls).parameters)


def notes(name: str, config: dict[str, Any] = CONFIGS["v"], **task: Any) -> tuple[str, ...]:
    if SCHEDULERS[name].inverts:
        task["initial"] = known_picture()
    return Denoising(make_task(config, name, **task)).notes


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_table_is_what_diffusers_constructors_take(name: str) -> None:
    taken, kind = arguments(name), SCHEDULERS[name]
    assert kind.karras_sigmas == ("use_karras_sigmas" in taken)
    variants = get_args(taken["algorithm_type"].annotation) if "algorithm_type" in taken else ()
    assert set(kind.algorithm_types) == set(variants)
    if variants:
        assert kind.algorithm_types[0] == taken["algorithm_type"].default
    if kind.most_steps:
        assert kind.most_steps in taken


@pytest.mark.parametrize("name", SCHEDULERS)
def test_karras_sigmas_are_taken_or_noted(name: str) -> None:
    plain, asked = notes(name), notes(name, use_karras_sigmas=True)
    if SCHEDULERS[name].karras_sigmas:
        assert asked == plain
    else:
        (note,) = set(asked) - set(plain)
        assert name in note
        assert "use_karras_sigmas" in note
    # What it doesn't do anyway needs no remark.
    assert notes(name, use_karras_sigmas=False) == plain


@pytest.mark.parametrize("variant", ALGORITHM_TYPES)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_an_algorithm_type_is_taken_or_noted(name: str, variant: str) -> None:
    plain, asked = notes(name), notes(name, algorithm_type=variant)
    if variant in SCHEDULERS[name].algorithm_types:
        assert asked == plain
    else:
        (note,) = set(asked) - set(plain)
        assert name in note
        assert repr(variant) in note
        assert "supported by D" in note


def test_an_algorithm_type_that_exists_nowhere_names_those_that_do() -> None:
    with pytest.raises(InvalidInput, match=r"'dpmsolver\+\+\+' is unknown; known: deis, dpmsolver, ") as e:
        notes("DDIMScheduler", algorithm_type="dpmsolver+++")
    assert e.value.field == "algorithm_type"


@pytest.mark.parametrize(
    ("name", "asked", "options"),
    [
        ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}, {"use_karras_sigmas": True}),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, {"algorithm_type": "sde-dpmsolver++"}),
        (
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "dpmsolver"},
            {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
        ),
        (
            "DPMSolverSinglestepScheduler",
            {"algorithm_type": "dpmsolver", "use_karras_sigmas": True},
            {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min", "use_karras_sigmas": True},
        ),
        ("UniPCMultistepScheduler", {"use_karras_sigmas": True}, {"use_karras_sigmas": True}),
    ],
)
async def test_options_reach_diffusers(name: str, asked: dict[str, Any], options: dict[str, Any]) -> None:
    plain = await latents_of(make_task(CONFIGS["epsilon"], name))
    ours = await latents_of(make_task(CONFIGS["epsilon"], name, **asked))
    theirs = await latents_of(make_task({**CONFIGS["epsilon"], **options}, name))
    np.testing.assert_array_equal(ours, theirs)
    assert np.abs(ours - plain).max() > 1e-3


@pytest.mark.parametrize("name", [name for name, kind in SCHEDULERS.items() if kind.karras_sigmas])
@pytest.mark.parametrize("flag", ["use_beta_sigmas", "use_exponential_sigmas"])
def test_karras_sigmas_take_the_place_of_the_model_s_own_spacing(name: str, flag: str) -> None:
    """diffusers refuses two spacings at once."""
    config = {**CONFIGS["epsilon"], flag: True}
    assert notes(name, config, use_karras_sigmas=True) == notes(name, config)
    kept = read_options(SCHEDULERS[name], make_task(config, name, use_karras_sigmas=False)).arguments
    assert kept["use_karras_sigmas"] is False
    assert flag not in kept


@pytest.mark.parametrize("own", ["deis", "dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"])
@pytest.mark.parametrize("name", [name for name, kind in SCHEDULERS.items() if kind.algorithm_types])
async def test_a_variant_in_the_model_s_configuration_fits_every_scheduler(name: str, own: str) -> None:
    """diffusers would refuse some pairs: the variant is another scheduler's, or divides by a last sigma of zero."""
    config = {**CONFIGS["epsilon"], "algorithm_type": own}
    assert np.isfinite(await latents_of(make_task(config, name))).all()
    chosen = read_options(SCHEDULERS[name], make_task(config, name)).arguments["algorithm_type"]
    kind = SCHEDULERS[name]
    assert chosen == (own if own in kind.algorithm_types else kind.algorithm_types[0])


def test_lcm_says_so_to_a_model_that_was_not_distilled() -> None:
    (note,) = notes("LCMScheduler")
    assert "distilled" in note
    assert not notes("LCMScheduler", {**CONFIGS["v"], "_class_name": "LCMScheduler"})


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
async def test_pndm_leaves_out_a_start_that_is_longer_than_the_loop(steps: int) -> None:
    """diffusers fails on fewer than four steps where the configuration does not skip its Runge-Kutta start."""
    assert len(notes("PNDMScheduler", steps=steps)) == (steps < 4)
    assert np.isfinite(await latents_of(make_task(CONFIGS["v"], "PNDMScheduler", steps))).all()
    assert not notes("PNDMScheduler", CONFIGS["epsilon"], steps=steps)


def test_an_inversion_says_what_it_leaves_out() -> None:
    (note,) = notes("DDIMInverseScheduler", strength=0.5)
    assert "strength" in note
    (note,) = notes("DDIMInverseScheduler", {**CONFIGS["epsilon"], "timestep_spacing": "linspace"})
    assert "linspace" in note


def test_the_names_are_diffusers_own() -> None:
    assert all(getattr(diffusers, name) is kind.cls for name, kind in SCHEDULERS.items())
