"""The predictor-corrector sampler of Song et al. (2021) for the variance-exploding equation."""

from collections.abc import AsyncGenerator

import torch
from torch import Tensor

from unet_svc.loops.contract import Canvas, Model, Plan, mixed
from unet_svc.noise_levels import NoiseLevels, mix_of


class ScoreSdeVeLoop:
    """diffusers' ScoreSdeVeScheduler as its own pipeline used it, with a model that was trained on z instead of x.

    Two model calls per step: one for a step of Langevin dynamics at the same sigma, one for the step to the next sigma.
    Latents are x = picture + sigma * noise.
    """

    def __init__(self, plan: Plan) -> None:
        levels = plan.levels
        assert isinstance(levels, NoiseLevels)
        self._scheduler = plan.scheduler(sigma_min=levels.least, sigma_max=levels.most)
        self._scheduler.set_timesteps(plan.steps)
        self._scheduler.set_sigmas(plan.steps)
        if plan.steps == 1:
            # For a single step the class uses the lower end of the range, and the picture would keep its noise.
            self._scheduler.discrete_sigmas = torch.tensor([levels.most])
        self._first = plan.skipped or 0
        self._sigmas = self._scheduler.discrete_sigmas.flip(0).tolist()
        self.calls = 2 * (plan.steps - self._first)

    def start(self, noise: Tensor, initial: Tensor | None) -> Tensor:
        """See Loop."""
        noise = noise * self._sigmas[self._first]
        return noise if initial is None else initial + noise

    async def run(
        self, latents: Tensor, model: Model, canvas: Canvas, generator: torch.Generator
    ) -> AsyncGenerator[Tensor, None]:
        """See Loop."""
        scheduler = self._scheduler
        last = len(self._sigmas) - 1
        for index in range(self._first, last + 1):
            sigma = self._sigmas[index]
            score = await _score(model, latents, sigma)
            latents = scheduler.step_correct(score, latents, generator, return_dict=False)[0]
            yield latents
            score = await _score(model, latents, sigma)
            noisy, mean = scheduler.step_pred(score, scheduler.timesteps[index], latents, generator, return_dict=False)
            # The last noise would stay in the picture.
            latents = noisy if index < last else mean
            latents = canvas.keep(latents, mixed(1, self._sigmas[index + 1]) if index < last else None)
            yield latents


async def _score(model: Model, x: Tensor, sigma: float) -> Tensor:
    """The gradient of the logarithm of the density of x."""
    return -await model.noise(x * mix_of(sigma)[0], sigma) / sigma
