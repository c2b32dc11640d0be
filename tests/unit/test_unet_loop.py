"""The loop against diffusers' own schedulers stepped by hand, with a prediction that is a function of its inputs."""

import asyncio
import inspect
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from families.manifest import ModelFacts
from mesh.errors import InvalidInput
from unet_svc.denoiser import residual_scale
from unet_svc.loop import denoise
from unet_svc.schedulers import SCHEDULERS, default_scheduler, make_scheduler
from unet_svc.task import Hint, Task

BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
CONFIGS: dict[str, dict[str, Any]] = {
    "v": {
        **BETAS,
        "_class_name": "DDIMScheduler",
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    },
    "epsilon": {
        **BETAS,
        "_class_name": "PNDMScheduler",
        "prediction_type": "epsilon",
        "timestep_spacing": "leading",
        "skip_prk_steps": True,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    },
}


def make_facts(config: dict[str, Any], **changes: Any) -> ModelFacts:
    return ModelFacts(
        **{
            "name": "x",
            "family": "sd15",
            "native_size": 64,
            "latent_channels": 4,
            "downscale": 8,
            "text_tokens": 77,
            "text_width": 8,
            "text_layers": 2,
            "pad_token_id": 0,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "residuals": ((4, 1), (8, 2), (8, 2)),
            "controls": ("canny", "shuffle"),
            "pooled_controls": ("shuffle",),
            "scheduler": config,
            **changes,
        }
    )


def make_task(config: dict[str, Any], scheduler: str, steps: int = 9, seed: int = 3) -> Task:
    return Task(make_facts(config), np.zeros((2, 77, 8), np.float32), (), 8, 12, scheduler, steps, 7.5, seed)


async def predict(sample: np.ndarray, timestep: float, step: int, steps: int) -> np.ndarray:
    return np.tanh(sample * 0.7 + timestep / 1000).astype(np.float32)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", SCHEDULERS)
async def test_the_loop_is_diffusers_own(name: str, config: str) -> None:
    seen = [step async for step in denoise(make_task(CONFIGS[config], name), predict)]
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
    ends = []
    for config in CONFIGS.values():
        steps = [step async for step in denoise(make_task(config, "DDIMScheduler"), predict)]
        ends.append(steps[-1].latents)
    assert np.abs(ends[0] - ends[1]).max() > 0.1


@pytest.mark.parametrize("name", SCHEDULERS)
async def test_stochastic_is_what_the_table_says(name: str) -> None:
    """With the same first noise, another generator state later changes the result exactly where noise is added."""
    ends = []
    for draws in (0, 1):
        scheduler = make_scheduler(name, CONFIGS["v"])
        scheduler.set_timesteps(5)
        generator = torch.Generator("cpu").manual_seed(0)
        torch.randn(draws, generator=generator)
        latents = torch.ones(1, 4, 8, 8)
        noise = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
        for timestep in scheduler.timesteps:
            latents = scheduler.step(latents * 0.1, timestep, latents, **noise).prev_sample
        ends.append(latents)
    assert (not torch.equal(*ends)) == SCHEDULERS[name].stochastic


def test_an_unknown_scheduler_names_the_known() -> None:
    with pytest.raises(InvalidInput, match="known: DDIMScheduler"):
        make_scheduler("EulerScheduler", CONFIGS["v"])


def test_the_model_s_own_scheduler_is_the_default() -> None:
    assert default_scheduler(CONFIGS["v"]) == "DDIMScheduler"
    assert default_scheduler(CONFIGS["epsilon"]) == "PNDMScheduler"
    assert default_scheduler({"_class_name": "IPNDMScheduler"}) == "UniPCMultistepScheduler"


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
