"""The loop over a flow: pictures become noise along a straight line, as in diffusers' FLUX pipelines."""

import inspect
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unet_svc.loops.common import CommonLoop
from unet_svc.loops.contract import Canvas, Model, Plan


class FlowLoop(CommonLoop):
    """CommonLoop over a flow: the pipelines' own sigmas and shift, noise that is mixed in, and latents that the model
    sees as they are."""

    def _space(self, plan: Plan) -> None:
        accepted = inspect.signature(self._scheduler.set_timesteps).parameters
        given: dict[str, Any] = {}
        if "mu" in accepted and self._scheduler.config.get("use_dynamic_shifting"):
            given["mu"] = shift_of(self._scheduler.config, plan.patches)
        if "sigmas" in accepted:
            self._scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / plan.steps, plan.steps), **given)
        else:
            self._scheduler.set_timesteps(plan.steps, **given)

    def start(self, noise: Tensor, initial: Tensor | None) -> Tensor:
        """See Loop."""
        return noise if initial is None else self._noised(0, initial, noise)

    def _scaled(self, latents: Tensor, timestep: Tensor) -> Tensor:
        return latents

    def _noised(self, index: int, initial: Tensor, noise: Tensor) -> Tensor:
        sigma = float(self._timesteps[index]) / float(self._scheduler.config.num_train_timesteps)
        return sigma * noise + (1.0 - sigma) * initial


class AncestralFlowLoop(FlowLoop):
    """Euler's method with fresh noise at every step, as ancestral samplers have it (Song et al. 2021).

    A step goes further down than the next level, and noise of the picture's own generator brings it back up: latents
    are scaled so that they have the next level's share of the picture, and get what its noise lacks. The distribution
    of latents is then that of the flow at every level. FlowMatchEulerDiscreteScheduler's `stochastic_sampling` noises
    the predicted picture instead, which loses more of the spread.
    """

    async def run(
        self, latents: Tensor, model: Model, canvas: Canvas, generator: torch.Generator
    ) -> AsyncGenerator[Tensor, None]:
        """See Loop."""
        levels = [float(timestep) / float(self._scheduler.config.num_train_timesteps) for timestep in self._timesteps]
        for index, timestep in enumerate(self._timesteps):
            sigma, following = levels[index], levels[index + 1] if index + 1 < self.calls else 0.0
            prediction = await model(latents, float(timestep))
            down = following**2 / sigma
            latents = latents + (down - sigma) * prediction
            if following:
                share = (1.0 - following) / (1.0 - down)
                fresh = torch.randn(latents.shape, generator=generator)
                latents = share * latents + (following**2 - (share * down) ** 2) ** 0.5 * fresh
            latents = canvas.keep(latents, self._noised_at(index + 1) if index + 1 < self.calls else None)
            yield latents


def shift_of(config: Any, patches: int) -> float:
    """The exponent of the shift of a schedule for a picture of so many patches: diffusers' `calculate_shift`, a line
    between the smallest and the largest number of patches that the model was trained with."""
    least, most = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    base, largest = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    slope = (largest - base) / (most - least)
    return float(patches * slope + base - slope * least)
