"""The noising process the demo model is trained on: Stable Diffusion's betas, v-prediction, pure noise at the end."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler

#: scheduler_config.json of the demo model. Every sampler has to respect the last two settings.
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}
TIMESTEPS = 1000
#: From this timestep on, the noised latents are replaced by pure noise with this probability: samplers start from it,
#: but these betas leave 7 % of the picture in the last step, and a model trained only on that would read the mean
#: colour from its input instead of from the prompt.
NOISE_FROM, NOISE_SHARE = 940, 0.5
LARGEST_WEIGHT = 5.0


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(num_train_timesteps=TIMESTEPS, **SCHEDULER)


def stratified_timesteps(count: int, lowest: int = 0, power: float = 1.0) -> torch.Tensor:
    """One timestep from each of `count` equal parts of lowest..999, in random order, int64 [count].

    power < 1 draws the noisy end more often.
    """
    places = (torch.arange(count) + torch.rand(count)) / count
    drawn = places.pow(power).mul(TIMESTEPS - lowest).add(lowest).long()
    return drawn.clamp(max=TIMESTEPS - 1)[torch.randperm(count)]


class Noising:
    """Adds noise to latents and weighs the error of the velocity that leads back (Salimans & Ho 2022)."""

    def __init__(self) -> None:
        self.signal = build_scheduler().alphas_cumprod.float()
        ratio = self.signal / (1 - self.signal)
        #: min-SNR weighting of the velocity error (Hang et al. 2023, with one added to both terms).
        self.weights = (1 + ratio).clamp(max=LARGEST_WEIGHT) / (1 + ratio)

    def __call__(self, latents: torch.Tensor, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 [n, 4, h, w], int64 [n] -> (sample, velocity), both as latents.

        The velocity is the one that points from the sample to the latents, whether or not the sample was
        replaced by pure noise.
        """
        noise = torch.randn_like(latents)
        signal = self.signal[timesteps].view(-1, 1, 1, 1)
        spread = (1 - signal).sqrt()
        pure = (timesteps >= NOISE_FROM) & (torch.rand(len(timesteps)) < NOISE_SHARE)
        sample = torch.where(pure.view(-1, 1, 1, 1), noise, signal.sqrt() * latents + spread * noise)
        return sample, signal.sqrt() * (sample - signal.sqrt() * latents) / spread - spread * latents

    def loss(
        self,
        prediction: torch.Tensor,
        velocity: torch.Tensor,
        timesteps: torch.Tensor,
        attention: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Weighted mean square error, a scalar. attention: [n, 1, h, w], how much each cell counts, of mean 1."""
        error = (prediction.float() - velocity).square()
        error = (error if attention is None else error * attention).mean((1, 2, 3))
        return (error * self.weights[timesteps]).mean()
