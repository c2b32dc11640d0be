"""The task that measures inpainting: one solid of a picture is hidden, and the prompt names another in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from demo import judge
from demo.judge import Mask, Pixels
from demo.masks import spot
from demo.render import render
from demo.scene import COLOURS, SHAPES, Scene, Solid


@dataclass(frozen=True, slots=True)
class Repaint:
    """source: the picture to repaint, uint8 RGB [size, size, 3]. mask: bool [size, size], True where.

    wanted: the solid that the prompt names and that `source` does not show.
    """

    source: Pixels
    mask: Mask
    wanted: Solid


def repaint(scene: Scene, size: int) -> Repaint:
    """Draw `scene` with its first solid in another shape and colour, and a spot over it to be repainted.

    So the picture does not contain what the model is asked for, not even under the mask.
    """
    wanted = scene.solids[0]
    used = {*scene.ground_colours, *(solid.colour for solid in scene.solids)}
    other = replace(
        wanted,
        colour=_next(COLOURS, wanted.colour, used),
        shape=_next(SHAPES, wanted.shape, {solid.shape for solid in scene.solids}),
    )
    source = render(replace(scene, solids=(other, *scene.solids[1:])), size).image
    return Repaint(source, spot(wanted, size), wanted)


def wanted_is_there(task: Repaint, picture: Pixels) -> bool:
    """Whether an object of the wanted colour and shape is found within the mask; the rest is ignored."""
    seen = judge.find_shape(np.where(task.mask[..., None], picture, task.source), task.wanted.colour)
    return seen is not None and seen.shape == task.wanted.shape


def change_outside(task: Repaint, picture: Pixels) -> float:
    """Mean square difference from the source outside the mask, in levels of 0..255."""
    difference = picture[~task.mask].astype(np.float32) - task.source[~task.mask]
    return float(np.square(difference).mean())


def _next(names: tuple[str, ...], name: str, used: set[str]) -> str:
    """The first name after `name`, going round, that is not used."""
    start = names.index(name)
    return next(n for n in names[start:] + names[:start] if n not in used)
