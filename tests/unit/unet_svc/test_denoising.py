"""The loop against diffusers' own schedulers stepped by hand, with a prediction that is a function of its inputs."""

import asyncio
import inspect
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from mesh.errors import InvalidInput
from tests.rigs.unet_tasks import CONFIGS, bent, exact, known_picture, latents_of, make_facts, make_task, steps_of
from unet_svc.denoiser import residual_scale
from unet_svc.denoising import Denoising, denoise
from unet_svc.loops.common import CommonLoop
from unet_svc.schedulers import SCHEDULERS, default_scheduler, find_scheduler
from unet_svc.task import Hint

COMMON = [name for name, kind in SCHEDULERS.items() if kind.loop is CommonLoop]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", COMMON)
async def test_the_loop_is_diffusers_own(name: str, config: str) -> None:
    seen = [step async for step in denoise(make_task(CONFIGS[config], name), bent)]
    scheduler = getattr(diffusers, name).from_config(CONFIGS[config])
    scheduler.set_timesteps(9)
    generator = torch.Generator("cpu").manual_seed(3)
    latents = torch.randn((1, 4, 8, 12), generator=generator) * scheduler.init_noise_sigma
    noise = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for timestep in scheduler.timesteps:
        sample = scheduler.scale_model_input(latents, timestep)
        prediction = torch.tanh(sample * 0.7 + float(timestep) / 1000)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False, **noise)[0]
    np.testing.assert_allclose(seen[-1].latents, latents.numpy(), atol=2e-5)
    assert [step.done for step in seen] == list(range(1, len(scheduler.timesteps) + 1))


async def test_the_model_s_prediction_type_is_honoured() -> None:
    ends = [await latents_of(make_task(config, "DDIMScheduler")) for config in CONFIGS.values()]
    assert np.abs(ends[0] - ends[1]).max() > 0.1


@pytest.mark.parametrize("name", SCHEDULERS)
async def test_stochastic_is_what_the_table_says(name: str) -> None:
    """From the same start, another state of the generator changes the result exactly where noise is added."""
    start: dict[str, Any] = {"noise": np.random.default_rng(0).normal(size=(1, 4, 8, 12)).astype(np.float32)}
    if SCHEDULERS[name].inverts:
        start = {"initial": known_picture()}
    ends = [await latents_of(make_task(CONFIGS["v"], name, seed=seed, **start)) for seed in (0, 1)]
    assert (not np.array_equal(*ends)) == SCHEDULERS[name].stochastic


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [3, 8])
async def test_model_calls_are_what_the_table_says(name: str, config: str, steps: int) -> None:
    picture = {"initial": known_picture()} if SCHEDULERS[name].inverts else {}
    seen = await steps_of(make_task(CONFIGS[config], name, steps, **picture))
    formula, _, started = SCHEDULERS[name].model_calls.partition(", or ")
    if started and not CONFIGS[config].get("skip_prk_steps") and steps >= 4:
        formula = started.partition(" if ")[0]
    calls = {"n": steps, "n + 1": steps + 1, "n + 9": steps + 9, "2n - 1": 2 * steps - 1, "2n": 2 * steps}[formula]
    assert [(step.done, step.total) for step in seen] == [(done, calls) for done in range(1, calls + 1)]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 20])
async def test_latents_stay_near_the_picture(name: str, config: str, steps: int) -> None:
    """Few steps are rough, but nothing overflows and no noise is left in."""
    picture = {"initial": known_picture()} if SCHEDULERS[name].inverts else {}
    task = make_task(CONFIGS[config], name, steps, **picture)
    assert np.abs(await latents_of(task, exact(CONFIGS[config]))).max() < 6


def test_schedulers_are_sorted_and_described() -> None:
    assert len(SCHEDULERS) == 18
    assert list(SCHEDULERS) == sorted(SCHEDULERS)
    assert all(kind.description.endswith(".") for kind in SCHEDULERS.values())


def test_an_unknown_scheduler_names_the_known() -> None:
    with pytest.raises(InvalidInput, match="known: DDIMInverseScheduler, DDIMScheduler"):
        find_scheduler("EulerScheduler", make_facts(CONFIGS["v"]))


def test_the_model_s_own_scheduler_is_the_default() -> None:
    assert default_scheduler(make_facts(CONFIGS["v"])) == "DDIMScheduler"
    assert default_scheduler(make_facts(CONFIGS["epsilon"])) == "PNDMScheduler"
    for own in ("IPNDMScheduler", "DDIMInverseScheduler", "FlowMatchEulerDiscreteScheduler"):
        assert default_scheduler(make_facts({"_class_name": own})) == "UniPCMultistepScheduler"


@pytest.mark.parametrize("steps", [51, 150])
def test_steps_that_a_scheduler_can_t_do_are_refused(steps: int) -> None:
    """LCM picks its timesteps among those it was distilled on."""
    with pytest.raises(InvalidInput, match=f"steps must be 1 to 50 with LCMScheduler, not {steps}"):
        Denoising(make_task(CONFIGS["epsilon"], "LCMScheduler", steps))
    few = {**CONFIGS["epsilon"], "original_inference_steps": 8}
    with pytest.raises(InvalidInput, match="steps must be 1 to 8"):
        Denoising(make_task(few, "LCMScheduler", 9))


@pytest.mark.parametrize("calls_between", [1, 2, 5])
async def test_previews_come_every_so_many_calls(calls_between: int) -> None:
    task = make_task(CONFIGS["v"], "HeunDiscreteScheduler", preview_every=calls_between)
    seen = await steps_of(task, exact(CONFIGS["v"]))
    assert [step.done for step in seen if step.picture is not None] == list(range(calls_between, 18, calls_between))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", [name for name, kind in SCHEDULERS.items() if not kind.inverts])
async def test_a_preview_is_the_clean_picture_in_the_latents(name: str, config: str) -> None:
    """The exact network's guess is the target's mean at first, and the finished picture at last."""
    task = make_task(CONFIGS[config], name, 30, size=(16, 16), preview_every=1)
    seen = await steps_of(task, exact(CONFIGS[config]))
    first, last = seen[0].picture, seen[-1].picture
    assert first is not None
    assert last is not None
    assert np.abs(first.astype(float) - 0.5).max() < 0.3
    assert np.abs(last.astype(float) - seen[-1].latents.astype(float)).max() < 0.25


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 1, "1111111111"), (0, 0.5, "1111100000"), (0.2, 0.6, "0011110000"), (1, 1, "0" * 10)],
)
def test_a_control_s_window_is_diffusers_rule(start: float, end: float, expected: str) -> None:
    hint = Hint("canny", np.zeros((3, 8, 8), np.uint8), 1.0, start, end)
    diffusers_rule = "".join(str(int(not (i / 10 < start or (i + 1) / 10 > end))) for i in range(10))
    assert "".join(str(int(hint.acts(i, 10))) for i in range(10)) == expected == diffusers_rule


def test_a_control_without_weight_is_not_computed() -> None:
    assert not Hint("canny", np.zeros((3, 8, 8), np.uint8), 0.0, 0, 1).acts(0, 10)


def test_a_pooled_control_leaves_the_negative_row_alone() -> None:
    facts = make_facts(CONFIGS["v"])
    pixels = np.zeros((3, 8, 8), np.uint8)
    np.testing.assert_array_equal(residual_scale(Hint("canny", pixels, 0.5, 0, 1), facts, 2), np.full((1, 2, 3), 0.5))
    scale = residual_scale(Hint("shuffle", pixels, 0.5, 0, 1), facts, 2)
    np.testing.assert_array_equal(scale[0], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_guess_mode_rises_with_depth_on_the_positive_row() -> None:
    facts = make_facts(CONFIGS["v"])
    pixels = np.zeros((3, 8, 8), np.uint8)
    rise = torch.logspace(-1, 0, 3).numpy() * 0.5
    canny = Hint("canny", pixels, 0.5, 0, 1)
    np.testing.assert_allclose(residual_scale(canny, facts, 2, guess_mode=True)[0], [[0, 0, 0], rise], rtol=1e-6)
    np.testing.assert_allclose(residual_scale(canny, facts, 1, guess_mode=True)[0], [rise], rtol=1e-6)
    # Pooled ones are in guess mode anyway and diffusers does not let them rise.
    shuffle = residual_scale(Hint("shuffle", pixels, 0.5, 0, 1), facts, 2, guess_mode=True)
    np.testing.assert_array_equal(shuffle[0], [[0, 0, 0], [0.5, 0.5, 0.5]])


async def test_cancelling_stops_at_the_running_call() -> None:
    calls = 0
    entered = asyncio.Event()

    async def slow(sample: np.ndarray, timestep: float, step: int, steps: int) -> np.ndarray:
        nonlocal calls
        calls += 1
        entered.set()
        await asyncio.Event().wait()
        return sample

    async def consume() -> None:
        async for _ in denoise(make_task(CONFIGS["v"], ""), slow):
            pass

    task = asyncio.create_task(consume())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == 1
