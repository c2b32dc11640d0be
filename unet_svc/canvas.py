"""The start of a loop: noise, initial latents, mask, hints, with every random draw before the first step."""

import torch
from torch import Tensor
from torch.nn import functional

from unet_svc.loops.contract import Canvas
from unet_svc.task import Posterior, Task


def draw_canvas(task: Task, generator: torch.Generator, inverts: bool = False) -> Canvas:
    """Draw the noise and prepare the initial latents and mask of `task`.

    The draws are those of diffusers' pipelines, in their order: the hints' posteriors where the model reads latents,
    in the caller's order, the initial picture's, the noise, and with a mask the posterior of the masked picture, which
    only models that repaint read.

    Args:
        task: the checked request.
        generator: the picture's only source of randomness; the loop continues to draw from it.
        inverts: use the mean of the initial picture's posterior instead of a sample.
    """
    shape = (1, task.facts.latent_channels, task.latent_height, task.latent_width)
    own = () if task.control is None else (task.control,)
    if own and task.mask is not None:
        # diffusers' FluxControlInpaintPipeline draws the masked picture before all others.
        torch.randn(shape, generator=generator)
    drawn = {
        hint.index: _draw(hint.posterior, shape, generator)
        for hint in sorted((*task.hints, *own), key=lambda hint: hint.index)
        if hint.posterior is not None
    }
    hints = tuple(drawn[hint.index] for hint in task.hints if hint.index in drawn)
    concat = drawn[task.control.index] if task.control is not None else None
    initial: Tensor | None = None
    if task.initial is not None and _draws_initial(task):
        initial = torch.tensor(task.initial.mean) if inverts else _draw(task.initial, shape, generator)
    noise = torch.randn(shape, generator=generator) if task.noise is None else torch.tensor(task.noise)
    if task.mask is None:
        return Canvas(noise, initial, hints=hints, concat=concat)
    pixels = (torch.tensor(task.mask) >= 128).to(torch.float32)[None, None]
    cells = functional.interpolate(pixels, size=shape[2:])
    if task.masked is not None:
        # The model repaints by itself: what it keeps is not put back after every step.
        masked = _draw(task.masked, shape, generator)
        return Canvas(noise, initial, hints=hints, concat=_beside(task, pixels, cells, masked))
    if not own:
        torch.randn(shape, generator=generator)
    return Canvas(noise, initial, cells, hints, concat)


def _beside(task: Task, pixels: Tensor, cells: Tensor, masked: Tensor) -> Tensor:
    """The mask, as pixels [1, 1, H, W] and as cells [1, 1, h, w], and the masked picture, as the model reads them."""
    if task.facts.concat is not None and task.facts.concat.mask == "blocks":
        return torch.cat([masked, functional.pixel_unshuffle(pixels, task.facts.downscale)], dim=1)
    return torch.cat([cells, masked], dim=1)


def _draws_initial(task: Task) -> bool:
    """Whether diffusers encodes the initial picture: Stable Diffusion's pipelines do not where they start from noise
    alone and the UNet reads the mask, so that nothing is put back."""
    reads_cells = task.facts.repaints and task.facts.concat is not None and task.facts.concat.mask == "cells"
    return task.starts_from_picture or not reads_cells


def _draw(posterior: Posterior, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    deviation = torch.tensor(posterior.deviation)
    drawn: Tensor = torch.tensor(posterior.mean) + deviation * torch.randn(shape, generator=generator)
    return drawn
