"""The start of a loop: noise, initial latents and mask, with every random draw before the first step."""

import torch
from torch import Tensor
from torch.nn import functional

from unet_svc.loops.contract import Canvas
from unet_svc.task import Task


def draw_canvas(task: Task, generator: torch.Generator, inverts: bool = False) -> Canvas:
    """Draw the noise and prepare the initial latents and mask of `task`.

    The draws are those of diffusers' pipelines, in their order: the initial picture's posterior, the noise, and with a
    mask the posterior of the masked picture, which only a network of nine channels reads.

    Args:
        task: the checked request.
        generator: the picture's only source of randomness; the loop continues to draw from it.
        inverts: use the mean of the initial picture's posterior instead of a sample.
    """
    shape = (1, task.facts.latent_channels, task.latent_height, task.latent_width)
    initial: Tensor | None = None
    if task.initial is not None:
        initial = torch.tensor(task.initial.mean)
        if not inverts:
            initial = initial + torch.tensor(task.initial.deviation) * torch.randn(shape, generator=generator)
    noise = torch.randn(shape, generator=generator) if task.noise is None else torch.tensor(task.noise)
    if task.mask is None:
        return Canvas(noise, initial)
    torch.randn(shape, generator=generator)
    mask = (torch.tensor(task.mask) >= 128).to(torch.float32)[None, None]
    return Canvas(noise, initial, functional.interpolate(mask, size=shape[2:]))
