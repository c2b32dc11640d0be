"""`<model>_vae_decoder` and `<model>_vae_encoder`: latents <-> pictures in bytes (diffusers' AutoencoderKL)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Decoder(nn.Module):
    """AutoencoderKL.decode and VaeImageProcessor.postprocess in one: no float picture ever leaves the graph."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents: Tensor) -> Tensor:
        """latents FP32 [B,4,h,w] as the scheduler leaves them -> image UINT8 [B,8h,8w,3]."""
        return to_bytes(self.model.decode(latents / self.model.config.scaling_factor, return_dict=False)[0])


def to_bytes(picture: Tensor) -> Tensor:
    """FP32 [B,3,H,W] in [-1, 1] -> UINT8 [B,H,W,3]; halves round to even, as numpy's round does."""
    return ((picture * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255).round().to(torch.uint8)


def from_bytes(image: Tensor) -> Tensor:
    """UINT8 [B,H,W,3] -> FP32 [B,3,H,W] in [-1, 1]."""
    return (image.permute(0, 3, 1, 2).float() / 255.0) * 2.0 - 1.0


class Encoder(nn.Module):
    """AutoencoderKL.encode with the posterior's noise as an input."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, noise: Tensor) -> Tensor:
        """image UINT8 [B,8h,8w,3], noise FP32 [B,4,h,w] (zeros: the posterior's mode) -> latents FP32 [B,4,h,w],
        scaled as the UNet expects them."""
        posterior = self.model.encode(from_bytes(image)).latent_dist
        latents: Tensor = (posterior.mean + posterior.std * noise) * self.model.config.scaling_factor
        return latents
