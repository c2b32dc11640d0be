"""Improved pseudo linear multistep (Liu et al., 2022), fourth order."""

from collections.abc import AsyncGenerator

import numpy as np
import torch
from torch import Tensor

from unet_svc.loops.contract import Canvas, Model, Plan, mixed
from unet_svc.noise_levels import NoiseLevels, mix_of


class IpndmLoop:
    """diffusers' IPNDMScheduler, which expects v at its own alpha and beta, adapted to any model.

    One model call per step. Latents are z = alpha * picture + beta * noise.
    """

    def __init__(self, plan: Plan) -> None:
        assert isinstance(plan.levels, NoiseLevels)
        betas = _betas(plan.levels, plan.steps)
        self._scheduler = plan.scheduler(trained_betas=betas)
        self._scheduler.set_timesteps(plan.steps)
        self._first = plan.skipped or 0
        self._scheduler.set_begin_index(self._first)
        self._mixes = [((1 - beta**2) ** 0.5, beta) for beta in betas]
        self.calls = plan.steps - self._first

    def start(self, noise: Tensor, initial: Tensor | None) -> Tensor:
        """See Loop."""
        if initial is None:
            # Its init_noise_sigma is 1.
            return noise
        return mixed(*self._mixes[self._first])(initial, noise)

    async def run(
        self, latents: Tensor, model: Model, canvas: Canvas, generator: torch.Generator
    ) -> AsyncGenerator[Tensor, None]:
        """See Loop."""
        last = len(self._mixes) - 2
        for index in range(self._first, last + 1):
            alpha, beta = self._mixes[index]
            noise = await model.noise(latents, beta / alpha)
            # The class mixes latents and output back into the noise.
            output = (noise - beta * latents) / alpha
            timestep = self._scheduler.timesteps[index]
            latents = self._scheduler.step(output, timestep, latents, return_dict=False)[0]
            latents = canvas.keep(latents, mixed(*self._mixes[index + 1]) if index < last else None)
            yield latents


def _betas(levels: NoiseLevels, steps: int) -> list[float]:
    """One beta per step and 0 at the end: the class's sine squared, between the least and the most noise of training.

    The class itself starts with pure noise, from which the first step learns nothing about the picture.
    """
    least, most = mix_of(levels.least)[1], mix_of(levels.most)[1]
    remaining = np.linspace(1, 0, steps + 1)[:-1]
    return [*(least + (most - least) * np.sin(remaining * np.pi / 2) ** 2).tolist(), 0.0]
