"""The start of a loop: noise, initial latents and mask, with every random draw before the first step."""

import torch
from torch import Tensor
from torch.nn import functional

from unet_svc.loops.contract import Canvas
from unet_svc.task import Posterior, Task


def draw_canvas(task: Task, generator: torch.Generator, inverts: bool = False) -> Canvas:
    """Draw the noise and prepare the initial latents and mask of `task`.

    The draws are those of diffusers' pipelines, in their order: the hints' posteriors where the model reads latents,
    in the caller's order, the initial picture's, the noise, and with a mask the posterior of the masked picture, which
    only a network of nine channels reads.

    Args:
        task: the checked request.
        generator: the picture's only source of randomness; the loop continues to draw from it.
        inverts: use the mean of the initial picture's posterior instead of a sample.
    """
    shape = (1, task.facts.latent_channels, task.latent_height, task.latent_width)
    drawn = {
        hint.index: _draw(hint.posterior, shape, generator)
        for hint in sorted(task.hints, key=lambda hint: hint.index)
        if hint.posterior is not None
    }
    hints = tuple(drawn[hint.index] for hint in task.hints if hint.index in drawn)
    initial: Tensor | None = None
    if task.initial is not None:
        initial = torch.tensor(task.initial.mean) if inverts else _draw(task.initial, shape, generator)
    noise = torch.randn(shape, generator=generator) if task.noise is None else torch.tensor(task.noise)
    if task.mask is None:
        return Canvas(noise, initial, hints=hints)
    torch.randn(shape, generator=generator)
    mask = (torch.tensor(task.mask) >= 128).to(torch.float32)[None, None]
    return Canvas(noise, initial, functional.interpolate(mask, size=shape[2:]), hints)


def _draw(posterior: Posterior, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    deviation = torch.tensor(posterior.deviation)
    drawn: Tensor = torch.tensor(posterior.mean) + deviation * torch.randn(shape, generator=generator)
    return drawn
