"""Denoise one picture: check the request against its scheduler, then run the scheduler's loop."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from families.limits import DEFAULT_END, DEFAULT_WEIGHT
from families.table import family_of
from mesh.errors import InvalidInput
from unet_svc.canvas import draw_canvas
from unet_svc.loops.contract import Model, Plan, Predict
from unet_svc.noise_levels import levels_of
from unet_svc.options import read_options
from unet_svc.schedulers import SchedulerKind, find_scheduler
from unet_svc.task import Task


@dataclass(frozen=True, slots=True)
class Step:
    """The state after one model call.

    done, total: model calls made, and in all; latents: FLOAT32 [1, channels, h, w]; picture: the clean latents that the
    call predicts, same shape, at every `preview_every`-th call of the task.
    """

    done: int
    total: int
    latents: NDArray[np.generic]
    picture: NDArray[np.generic] | None = None


class Denoising:
    """One task, checked against its scheduler and ready to run once.

    Args:
        task: the checked request.

    Raises:
        InvalidInput: the scheduler is unknown, or does not support what the task asks for.
    """

    notes: tuple[str, ...]
    """Notes for the caller: what was ignored, and why."""

    def __init__(self, task: Task) -> None:
        config = task.facts.scheduler
        kind, instead = find_scheduler(task.scheduler, task.facts)
        options = read_options(kind, task)
        notes = (*instead, *options.notes)
        if task.guess_mode and family_of(task.facts).control_rows == "positive":
            notes = (*notes, f"guess_mode was not applied: controls of model {task.facts.name} act on all rows alike")
        notes = (*notes, *_not_applied(task))
        if kind.most_steps:
            _check_steps(kind, task)
        skipped = None if task.initial is None else task.skipped
        if kind.inverts:
            _check_inversion(kind, task)
            skipped = 0
        if skipped == task.steps:
            # diffusers refuses this, but sliders begin at 0 and have every value behind it.
            skipped -= 1
            notes = (*notes, f"strength {task.share:g} of {task.steps} steps leaves none to run; one was run")
        self.notes = tuple(notes)
        self._task = task
        self._levels = levels_of(task.facts)
        cells = (task.latent_height // task.facts.patch) * (task.latent_width // task.facts.patch)
        self._loop = kind.loop(Plan(kind.cls, options.arguments, config, self._levels, task.steps, skipped, cells))
        self._generator = torch.Generator("cpu").manual_seed(task.seed)
        self._canvas = draw_canvas(task, self._generator, kind.inverts)

    @property
    def hints(self) -> tuple[NDArray[np.generic], ...]:
        """Of a model that reads hints as latents: a draw of each of the task's, FLOAT32 [1, channels, h, w] each."""
        return tuple(hint.numpy() for hint in self._canvas.hints)

    @property
    def concat(self) -> NDArray[np.generic] | None:
        """What the model reads beside the latents, FLOAT32 [1, channels, h, w]; None if it reads nothing."""
        return None if self._canvas.concat is None else self._canvas.concat.numpy()

    async def run(self, predict: Predict) -> AsyncGenerator[Step, None]:
        """Run the loop and yield after every model call; the last `Step` has the finished latents.

        The same task gives the latents of diffusers' matching pipeline: StableDiffusion[ControlNet]Pipeline, with an
        initial picture ...Img2ImgPipeline, with a mask ...InpaintPipeline. One `torch.Generator("cpu")` per picture
        draws every random number. Cancelling the awaiting task stops within one call.

        Raises:
            MeshError: what `predict` raises.
        """
        every, loop, canvas, generator = self._task.preview_every, self._loop, self._canvas, self._generator
        start = loop.start(canvas.noise, canvas.initial if self._task.starts_from_picture else None)
        model = Model(predict, self._levels, loop.calls)
        async with aclosing(loop.run(start, model, canvas, generator)) as walk:
            async for latents in walk:
                picture = model.picture().numpy() if every and model.done % every == 0 else None
                yield Step(model.done, loop.calls, latents.numpy(), picture)


async def denoise(task: Task, predict: Predict) -> AsyncGenerator[Step, None]:
    """Run a `Denoising` from start to end. Raises as it and its `run` do."""
    async with aclosing(Denoising(task).run(predict)) as steps:
        async for step in steps:
            yield step


def _not_applied(task: Task) -> Iterator[str]:
    """Notes on a weight and a window of the control that the model itself reads: there is nothing to scale or leave
    out."""
    if task.control is None:
        return
    for field, sent, usual in (
        ("weight", task.control.weight, DEFAULT_WEIGHT),
        ("start", task.control.start, 0.0),
        ("end", task.control.end, DEFAULT_END),
    ):
        if sent != usual:
            yield (
                f"controls[{task.control.index}].{field} was not applied: model {task.facts.name} reads the hint of "
                f"{task.control.kind} itself, at every step as it is"
            )


def _check_steps(kind: SchedulerKind, task: Task) -> None:
    most = int(kind.cls.from_config(task.facts.scheduler).config[kind.most_steps])
    if task.steps > most:
        raise InvalidInput(f"steps must be 1 to {most} with {kind.name}, not {task.steps}", field="steps")


def _check_inversion(kind: SchedulerKind, task: Task) -> None:
    if task.facts.repaints:
        raise InvalidInput(
            f"{kind.name} turns a whole picture into noise, and model {task.facts.name} repaints parts: name another",
            field="scheduler",
        )
    if task.initial is None:
        raise InvalidInput(f"{kind.name} inverts an initial picture, but none was sent; send one", field="initial")
    for field, sent in (("mask", task.mask), ("noise", task.noise)):
        if sent is not None:
            raise InvalidInput(
                f"{kind.name} turns a whole picture into noise and does not support {field}; remove it", field=field
            )
