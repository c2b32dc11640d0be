"""The loop of diffusers' Stable Diffusion pipelines, for every scheduler with the common form of `step`."""

import inspect
from collections.abc import AsyncGenerator
from functools import partial

import torch
from torch import Tensor

from unet_svc.loops.contract import Canvas, Model, Noised, Plan


class CommonLoop:
    """`scale_model_input`, the model, `step`: as diffusers' StableDiffusion[ControlNet][Img2Img|Inpaint]Pipeline.

    The arithmetic and the order of random draws are theirs, so that the same seed gives their latents.
    """

    def __init__(self, plan: Plan) -> None:
        self._scheduler = plan.scheduler.from_config(plan.config, **plan.options)
        self._space(plan)
        self._timesteps = self._scheduler.timesteps
        if plan.skipped is not None:
            # As their get_timesteps. Without an initial picture they leave the begin index unset, which is different.
            begin = plan.skipped * self._scheduler.order
            self._timesteps = self._timesteps[begin:]
            if hasattr(self._scheduler, "set_begin_index"):
                self._scheduler.set_begin_index(begin)
        self.calls = len(self._timesteps)

    def _space(self, plan: Plan) -> None:
        """Space the levels of the scheduler."""
        self._scheduler.set_timesteps(plan.steps)

    def start(self, noise: Tensor, initial: Tensor | None) -> Tensor:
        """See Loop."""
        if initial is None:
            pure: Tensor = noise * self._scheduler.init_noise_sigma
            return pure
        return self._noised(0, initial, noise)

    async def run(
        self, latents: Tensor, model: Model, canvas: Canvas, generator: torch.Generator
    ) -> AsyncGenerator[Tensor, None]:
        """See Loop."""
        scheduler = self._scheduler
        # As their prepare_extra_step_kwargs: only schedulers that draw noise take a generator.
        noise = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
        for index, timestep in enumerate(self._timesteps):
            sample = self._scaled(latents, timestep)
            prediction = await model(sample, float(timestep))
            latents = scheduler.step(prediction, timestep, latents, return_dict=False, **noise)[0]
            following = index + 1
            latents = canvas.keep(latents, self._noised_at(following) if following < self.calls else None)
            yield latents

    def _scaled(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """Latents as the model wants them at `timestep`."""
        scaled: Tensor = self._scheduler.scale_model_input(latents, timestep)
        return scaled

    def _noised_at(self, index: int) -> Noised:
        return partial(self._noised, index)

    def _noised(self, index: int, initial: Tensor, noise: Tensor) -> Tensor:
        noised: Tensor = self._scheduler.add_noise(initial, noise, self._timesteps[index : index + 1])
        return noised
