"""The demo's VAE: AutoencoderKL that starts as an 8x8 average and learns the rest, then whitened latents.

A default initialisation needs many times the steps; the skeleton below is right about everything coarse from
the first step, and training adds the detail.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from numpy.typing import NDArray
from torch import nn

from demo.corpus import to_tensor
from demo.descent import autocast, descend
from demo.distributed import Crew
from demo.recipe import PICTURE_SIZE, Schedule

CHANNELS = (16, 32, 64, 96)
LATENT_CHANNELS = 4
#: Stable Diffusion 1.5's constant; the latents are whitened so that it makes them unit normal.
SCALING_FACTOR = 0.18215
#: Channels that carry the picture through the skeleton: +RGB, -RGB, and two constants.
CARRIED = 8
LIFT = 3.0
CROP = 64
WHOLE_FROM = 0.85
WHOLE_BATCH_SHARE = 1 / 3
KL_WEIGHT = 2e-4
ENCODED_TOGETHER = 20


def build_vae() -> AutoencoderKL:
    """A fresh VAE with skeleton weights: it averages 8x8 blocks and repeats them."""
    blocks = len(CHANNELS)
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,
        sample_size=PICTURE_SIZE,
        scaling_factor=SCALING_FACTOR,
        force_upcast=False,
        mid_block_add_attention=False,
    )
    _lay_skeleton(vae)
    return vae


@torch.no_grad()
def _lay_skeleton(vae: AutoencoderKL) -> None:
    """Carry +RGB and -RGB on channels 0..5 from end to end.

    silu(x) - silu(-x) = x undoes the activations at the ends. The two large constants on channels 6 and 7 set
    the variance of every one-group GroupNorm, which makes it nearly affine in the other channels.
    """
    for first in (vae.encoder.conv_in, vae.decoder.conv_in):
        _clear(first, CARRIED)
        for colour in range(3):
            first.weight[colour, colour, 1, 1] = 1
            first.weight[3 + colour, colour, 1, 1] = -1
        first.bias[6], first.bias[7] = LIFT, -LIFT
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            _clear(module.conv2)
            if module.conv_shortcut is not None:
                _carry(module.conv_shortcut, slice(0, 1), 1.0)
        elif isinstance(module, Downsample2D):
            _carry(module.conv, slice(0, 2), 0.25)
        elif isinstance(module, Upsample2D):
            _carry(module.conv, slice(1, 2), 1.0)
    to_latents = vae.encoder.conv_out
    fourth = to_latents.weight[3].clone() * 6  # the one latent without a colour starts small and random
    _clear(to_latents)
    to_latents.weight[3] = fourth
    to_latents.bias[LATENT_CHANNELS:] = -4  # log-variance: nearly no noise
    for colour in range(3):
        to_latents.weight[colour, colour, 1, 1] = 2
        to_latents.weight[colour, 3 + colour, 1, 1] = -2
    for straight in (vae.quant_conv, vae.post_quant_conv):
        nn.init.dirac_(straight.weight)
        nn.init.zeros_(straight.bias)
    to_picture = vae.decoder.conv_out
    to_picture.weight.mul_(0.1)
    to_picture.weight[:, :6] = 0
    to_picture.bias.zero_()
    for colour in range(3):
        to_picture.weight[colour, colour, 1, 1] = 1
        to_picture.weight[colour, 3 + colour, 1, 1] = -1


def _clear(conv: nn.Conv2d, outputs: int | None = None) -> None:
    conv.weight[:outputs] = 0
    assert conv.bias is not None
    conv.bias[:outputs] = 0


def _carry(conv: nn.Conv2d, taps: slice, weight: float) -> None:
    """Pass channels 0..7 through unchanged: the taps are where the kernel reads, in both directions."""
    _clear(conv, CARRIED)
    for channel in range(CARRIED):
        conv.weight[channel, channel, taps, taps] = weight


@torch.no_grad()
def calibrate(vae: AutoencoderKL, images: torch.Tensor) -> None:
    """Scale the output so that reconstructions of images, float32 [n, 3, h, w], have the least squared error."""
    drawn = vae.decode(vae.encode(images).latent_dist.mode()).sample
    gain = (images * drawn).sum() / drawn.square().sum()
    vae.decoder.conv_out.weight.mul_(gain)
    vae.decoder.conv_out.bias.mul_(gain)


def train_vae(crew: Crew, images: NDArray[np.uint8], schedule: Schedule) -> tuple[AutoencoderKL, list[float]]:
    """Train on random mirrored crops, at last on whole pictures; uint8 [n, size, size, 3] -> (VAE, losses)."""
    vae = build_vae()
    calibrate(vae, to_tensor(images[:16]))
    batch = schedule.batch // crew.size

    def loss_of_step(step: int) -> torch.Tensor:
        whole = step >= WHOLE_FROM * schedule.steps
        count = max(1, round(batch * WHOLE_BATCH_SHARE)) if whole else batch
        real = to_tensor(np.stack(list(_crops(images, count, PICTURE_SIZE if whole else CROP))))
        with autocast():
            posterior = vae.encode(real).latent_dist
            drawn = vae.decode(posterior.sample()).sample
        return reconstruction_loss(real, drawn.float()) + KL_WEIGHT * posterior.kl().float().mean() / (
            posterior.mean[0].numel()
        )

    return descend(crew, vae, schedule, loss_of_step)


def _crops(images: NDArray[np.uint8], count: int, size: int) -> Iterator[NDArray[np.uint8]]:
    for index in torch.randint(len(images), (count,)).tolist():
        top, left = torch.randint(PICTURE_SIZE - size + 1, (2,)).tolist()
        crop = images[index, top : top + size, left : left + size]
        yield crop[:, ::-1] if torch.rand(()) < 0.5 else crop


def reconstruction_loss(real: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """L1 + half the L1 of the differences between neighbours (outlines) + mean square, of values -1..1."""
    error = drawn - real
    outlines = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 0.5 * outlines + error.square().mean()


@torch.no_grad()
def psnr(vae: AutoencoderKL, images: NDArray[np.uint8]) -> float:
    """Mean peak signal-to-noise ratio of reconstructions in dB, over uint8 [n, h, w, 3]."""
    real = to_tensor(images)
    drawn = vae.decode(vae.encode(real).latent_dist.mode()).sample.clamp(-1, 1)
    return float((-10 * torch.log10(((drawn - real) / 2).square().mean((1, 2, 3)))).mean())


@torch.no_grad()
def whitened(vae: AutoencoderKL, images: NDArray[np.uint8]) -> AutoencoderKL:
    """The same autoencoder with latents of mean 0 and standard deviation 1 a channel after SCALING_FACTOR.

    The affine map is folded into the two 1x1 convolutions around the latents, so pictures do not change.
    images: uint8 [n, h, w, 3], a sample to measure the statistics on.
    """
    vae = copy.deepcopy(vae)
    means = torch.cat([vae.encode(part).latent_dist.mean for part in to_tensor(images).split(ENCODED_TOGETHER)])
    mean, scale = means.mean((0, 2, 3)), means.std((0, 2, 3)) * SCALING_FACTOR
    quant, post = vae.quant_conv, vae.post_quant_conv
    quant.weight[:LATENT_CHANNELS] /= scale.view(-1, 1, 1, 1)
    quant.bias[:LATENT_CHANNELS] = (quant.bias[:LATENT_CHANNELS] - mean) / scale
    quant.bias[LATENT_CHANNELS:] -= 2 * scale.log()
    post.bias += post.weight[:, :, 0, 0] @ mean
    post.weight *= scale.view(1, -1, 1, 1)
    return vae


@torch.no_grad()
def encode(vae: AutoencoderKL, images: NDArray[np.uint8]) -> torch.Tensor:
    """Scaled latents of pictures, the posterior's mean: uint8 [n, h, w, 3] -> float16 [n, 4, h/8, w/8]."""
    with autocast():
        mean = vae.encode(to_tensor(images)).latent_dist.mean
    return (mean.float() * SCALING_FACTOR).half()
