"""Tasks for the loops without a model server: configurations, facts, and networks that are functions of their input."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from families.facts import ModelFacts, skips
from tests.rigs.model_cards import facts
from unet_svc.denoising import Denoising, Step
from unet_svc.loops.contract import Predict
from unet_svc.noise_levels import NoiseLevels, mix_of
from unet_svc.task import Posterior, Task

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
# The target of `exact`, by cell.
MEAN, DEVIATION = 0.5, 0.6


def make_facts(config: dict[str, Any], **changes: Any) -> ModelFacts:
    return facts(
        **{
            "name": "x",
            "native_size": 64,
            "text_width": 8,
            "residuals": skips(((4, 1), (8, 2), (8, 2))),
            "controls": ("canny", "inpaint", "shuffle"),
            "pooled": ("shuffle",),
            "scheduler": config,
            **changes,
        }
    )


def make_task(
    config: dict[str, Any], scheduler: str, steps: int = 9, seed: int = 3, size: tuple[int, int] = (8, 12), **more: Any
) -> Task:
    text = np.zeros((2, 77, 8), np.float32)
    return Task(make_facts(config), text, (), *size, scheduler, steps, 7.5, seed, **more)


def known_picture(size: tuple[int, int] = (8, 12), deviation: float = 0.1) -> Posterior:
    """A draw of the target that `exact` denoises to, with a posterior of that deviation."""
    cells = np.random.default_rng(5).normal(MEAN, DEVIATION, (1, 4, *size))
    return Posterior(cells.astype(np.float32), np.full((1, 4, *size), deviation, np.float32))


async def bent(sample: NDArray[Any], timestep: float, step: int, steps: int) -> NDArray[Any]:
    """A network that no scheduler could mistake for another input's."""
    return np.tanh(sample * 0.7 + timestep / 1000).astype(np.float32)


def exact(config: dict[str, Any]) -> Predict:
    """The network that knows every cell's distribution: normal with MEAN and DEVIATION, under any amount of noise."""
    levels = NoiseLevels.of(config)

    async def predict(sample: NDArray[Any], timestep: float, step: int, steps: int) -> NDArray[Any]:
        alpha, beta = mix_of(levels.sigma(timestep))
        gain = alpha * DEVIATION**2 / (alpha**2 * DEVIATION**2 + beta**2)
        picture = MEAN + gain * (sample - alpha * MEAN)
        noise = (sample - alpha * picture) / beta
        output = noise if config["prediction_type"] == "epsilon" else alpha * noise - beta * picture
        return output.astype(np.float32)

    return predict


async def steps_of(task: Task, predict: Predict = bent) -> list[Step]:
    return [step async for step in Denoising(task).run(predict)]


async def latents_of(task: Task, predict: Predict = bent) -> NDArray[Any]:
    """The finished latents."""
    return (await steps_of(task, predict))[-1].latents
