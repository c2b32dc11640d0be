"""`<model>_vae_decoder` and `<model>_vae_encoder`: latents <-> pictures in bytes (diffusers' AutoencoderKL)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.image_processor import VaeImageProcessor
from torch import Tensor, nn


class Decoder(nn.Module):
    """AutoencoderKL.decode and VaeImageProcessor.postprocess in one: no float picture ever leaves the graph."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor) -> Tensor:
        """latents FP32 [B,C,h,w] as the scheduler leaves them -> image UINT8 [B,8h,8w,3]."""
        return to_bytes(self.model.decode(as_encoded(self.model, latents), return_dict=False)[0])


def as_encoded(model: Any, latents: Tensor) -> Tensor:
    """Latents as the denoiser knows them -> as AutoencoderKL has them: without scale, shift, mean and deviation."""
    config = model.config
    if config.latents_mean is not None and config.latents_std is not None:
        return latents * _channels(config.latents_std) / config.scaling_factor + _channels(config.latents_mean)
    unscaled = latents / config.scaling_factor
    return unscaled if config.shift_factor is None else unscaled + config.shift_factor


def as_denoised(model: Any, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse, for a posterior's mean and standard deviation."""
    config = model.config
    if config.latents_mean is not None and config.latents_std is not None:
        scale = config.scaling_factor / _channels(config.latents_std)
        return (mean - _channels(config.latents_mean)) * scale, deviation * scale
    shifted = mean if config.shift_factor is None else mean - config.shift_factor
    return shifted * config.scaling_factor, deviation * config.scaling_factor


def _channels(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def to_bytes(picture: Tensor) -> Tensor:
    """FP32 [B,3,H,W] in [-1, 1] -> UINT8 [B,H,W,3]; halves round to even, as numpy's round does."""
    return ((picture * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255).round().to(torch.uint8)


def from_bytes(image: Tensor) -> Tensor:
    """UINT8 [B,H,W,3] -> FP32 [B,3,H,W] in [-1, 1]."""
    return (image.permute(0, 3, 1, 2).float() / 255.0) * 2.0 - 1.0


class Encoder(nn.Module):
    """AutoencoderKL.encode up to the posterior: whoever draws from it has the noise."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """image UINT8 [B,8h,8w,3], for models that repaint also mask UINT8 [B,8h,8w], 128 or more where to hide it
        -> mean and standard deviation FP32 [B,C,h,w], scaled as the denoiser expects latents: `mean + deviation *
        noise` is a draw, `mean` the mode."""
        picture = from_bytes(image)
        if mask is not None:
            picture = torch.where(mask[:, None] >= 128, 0.0, picture)
        posterior = self.model.encode(picture).latent_dist
        return as_denoised(self.model, posterior.mean, posterior.std)


def reference_posterior(model: Any, image: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The same through VaeImageProcessor and AutoencoderKL.encode, as diffusers' image-to-image and inpainting
    pipelines call them."""
    pixels = VaeImageProcessor(do_resize=False).preprocess(image.permute(0, 3, 1, 2).float() / 255)
    if mask is not None:
        marking = VaeImageProcessor(do_resize=False, do_normalize=False, do_binarize=True)
        pixels = pixels * (marking.preprocess(mask[:, None].float() / 255) < 0.5)
    posterior = model.encode(pixels).latent_dist
    return as_denoised(model, posterior.mode(), posterior.std)
