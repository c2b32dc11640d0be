"""Algorithm 2 of Karras et al. (2022): a little fresh noise, an Euler step, a correction by Heun's rule."""

from collections.abc import AsyncGenerator

import torch
from torch import Tensor

from unet_svc.loops.contract import Canvas, Model, Plan, mixed
from unet_svc.noise_levels import NoiseLevels, mix_of


class KarrasVeLoop:
    """diffusers' KarrasVeScheduler as its own pipeline used it, with a model that was trained on z instead of x.

    Two model calls per step except the last. Latents are x = picture + sigma * noise.
    """

    def __init__(self, plan: Plan) -> None:
        levels = plan.levels
        assert isinstance(levels, NoiseLevels)
        self._scheduler = plan.scheduler(
            # The class squares both, and its pipeline uses the result as sigmas.
            sigma_min=levels.least**0.5,
            sigma_max=levels.most**0.5,
            # A step's fresh noise raises sigma by at most sqrt(2), and the model was not trained above its maximum.
            s_max=levels.most / 2**0.5,
        )
        self._scheduler.set_timesteps(plan.steps)
        # From the noisiest on. The class interpolates between two ends, which gives NaN for a single step.
        sigmas = self._scheduler.schedule.flip(0).tolist() if plan.steps > 1 else [levels.most]
        self._sigmas = [*sigmas[plan.skipped or 0 :], 0.0]
        self.calls = 2 * (len(self._sigmas) - 1) - 1

    def start(self, noise: Tensor, initial: Tensor | None) -> Tensor:
        """See Loop."""
        noise = noise * self._sigmas[0]
        return noise if initial is None else initial + noise

    async def run(
        self, latents: Tensor, model: Model, canvas: Canvas, generator: torch.Generator
    ) -> AsyncGenerator[Tensor, None]:
        """See Loop."""
        scheduler = self._scheduler
        for sigma, following in zip(self._sigmas, self._sigmas[1:], strict=False):
            noisier, sigma_hat = scheduler.add_noise_to_input(latents, sigma, generator)
            output = await _minus_noise(model, noisier, sigma_hat)
            latents, slope = scheduler.step(output, sigma_hat, following, noisier, return_dict=False)
            if following:
                yield latents
                output = await _minus_noise(model, latents, following)
                latents, _ = scheduler.step_correct(
                    output, sigma_hat, following, noisier, latents, slope, return_dict=False
                )
            latents = canvas.keep(latents, mixed(1, following) if following else None)
            yield latents


async def _minus_noise(model: Model, x: Tensor, sigma: float) -> Tensor:
    """The negative noise: the class adds sigma times this to x to get the picture."""
    return -await model.noise(x * mix_of(sigma)[0], sigma)
