"""The scheduling loop: diffusers' scheduler arithmetic around one awaited prediction a step."""

import inspect
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from unet_svc.schedulers import make_scheduler
from unet_svc.task import Task


class Predict(Protocol):
    """The model: FLOAT32 [1, channels, h, w] in and out."""

    async def __call__(
        self, sample: NDArray[np.generic], timestep: float, step: int, steps: int
    ) -> NDArray[np.generic]:
        """Prediction for `sample` at `timestep`, the `step`-th of `steps` model calls counted from 0."""


@dataclass(frozen=True, slots=True)
class Step:
    """After each model call: how many are done, how many there are, and the latents so far, FLOAT32 [1, c, h, w]."""

    done: int
    total: int
    latents: NDArray[np.generic]


async def denoise(task: Task, predict: Predict) -> AsyncGenerator[Step, None]:
    """Run the loop and yield after every model call; the last `Step` holds the finished latents.

    The same task gives the latents of diffusers' StableDiffusionControlNetPipeline: one `torch.Generator("cpu")` a
    picture draws the first noise and whatever the scheduler adds. Cancelling the awaiting task stops within one call.

    Raises:
        InvalidInput: the scheduler's name is unknown.
        MeshError: what `predict` raises.
    """
    scheduler = make_scheduler(task.scheduler, task.facts.scheduler)
    generator = torch.Generator("cpu").manual_seed(task.seed)
    shape = (1, task.facts.latent_channels, task.latent_height, task.latent_width)
    scheduler.set_timesteps(task.steps)
    latents = torch.randn(shape, generator=generator) * scheduler.init_noise_sigma
    total = len(scheduler.timesteps)
    # As diffusers' prepare_extra_step_kwargs: only the schedulers that draw noise take a generator.
    noise = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for index, timestep in enumerate(scheduler.timesteps):
        sample = scheduler.scale_model_input(latents, timestep)
        predicted = await predict(sample.numpy(), float(timestep), index, total)
        # The model server's answer is read-only memory, which torch would warn of.
        prediction = torch.from_numpy(np.array(predicted))
        latents = scheduler.step(prediction, timestep, latents, return_dict=False, **noise)[0]
        yield Step(index + 1, total, latents.numpy())
