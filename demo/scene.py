"""What a demo picture shows: shaded solids of named colours on a coloured ground.

A Scene is the whole truth about a picture. The renderer, the captions, the hints and the judge all read it, so
what the model is asked for and what it is measured against cannot drift apart.

Lengths are in scene units: a picture is CANVAS units wide and high, whatever its size in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

CANVAS = 128.0

#: Colour name -> sRGB, 0..255. The order is the order of class indices everywhere.
PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (245, 140, 25),
    "yellow": (245, 222, 50),
    "green": (45, 160, 60),
    "cyan": (60, 205, 215),
    "blue": (40, 80, 210),
    "purple": (130, 55, 175),
    "pink": (245, 135, 185),
    "white": (242, 242, 242),
    "black": (32, 32, 34),
}
COLOURS = tuple(PALETTE)
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")

#: Ground style -> share of the training set.
STYLES: dict[str, float] = {"plain": 0.52, "striped": 0.08, "checkered": 0.08, "dotted": 0.06, "gradient": 0.26}
#: The grounds for measuring adherence: the edges of a texture would hide those of the solids.
SMOOTH_STYLES = ("plain", "gradient")

#: Number of solids -> (share of the training set, smallest and largest radius in scene units).
CROWDS: dict[int, tuple[float, float, float]] = {1: (0.50, 26, 42), 2: (0.42, 21, 31), 3: (0.08, 17, 25)}
PLACEMENT_ATTEMPTS = 60


class Stream(IntEnum):
    """Independent random streams: a seed of one stream never repeats a picture of another."""

    TRAINING = 1
    EVALUATION = 2
    HELD_OUT = 3


@dataclass(frozen=True, slots=True)
class Solid:
    """One object: centre (x, y) and radius in scene units, angle in radians (clockwise on the screen)."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    angle: float


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture. `ground_end` is the lower colour of a gradient and None for every other style.

    light: direction to the lamp as (x, y) with x right and y down; its height above the picture is fixed.
    tilt: slope of the ground in the depth map, -0.25..0.25. It does not show in the picture.
    period, phase: spacing and offset of a texture, in scene units. rising: direction of stripes.
    """

    ground: str
    ground_end: str | None
    style: str
    solids: tuple[Solid, ...]
    light: tuple[float, float]
    tilt: float
    period: float
    phase: float
    rising: bool

    @property
    def ground_colours(self) -> tuple[str, ...]:
        return (self.ground,) if self.ground_end is None else (self.ground, self.ground_end)


def scene_generator(stream: Stream, seed: int) -> np.random.Generator:
    """The generator of picture number `seed` of a stream: the same on every machine and in any order."""
    return np.random.default_rng((int(stream), seed))


def sample_scene(rng: np.random.Generator, styles: Sequence[str] | None = None) -> Scene:
    """Draw a scene from the training distribution.

    styles: draw the ground evenly from these styles only, instead of with the shares of STYLES.
    No colour and no shape occurs twice in one scene, and no solid has a colour of the ground.
    """
    crowds = list(CROWDS)
    count = int(rng.choice(crowds, p=[CROWDS[n][0] for n in crowds]))
    shares = list(STYLES.values()) if styles is None else None
    style = str(rng.choice(list(styles or STYLES), p=shares))
    colours = [COLOURS[i] for i in rng.permutation(len(COLOURS))]
    ground = colours.pop()
    ground_end = colours.pop() if style == "gradient" else None
    shapes = [SHAPES[i] for i in rng.permutation(len(SHAPES))]
    return Scene(
        ground=ground,
        ground_end=ground_end,
        style=style,
        solids=_place(rng, count, shapes, colours),
        light=(float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-0.9, -0.2))),
        tilt=float(rng.uniform(-0.25, 0.25)),
        period=float(rng.uniform(13, 22)),
        phase=float(rng.uniform(0, 20)),
        rising=bool(rng.integers(2)),
    )


def _place(rng: np.random.Generator, count: int, shapes: Sequence[str], colours: Sequence[str]) -> tuple[Solid, ...]:
    """Up to `count` solids that do not touch; one that does not fit is omitted."""
    _, smallest, largest = CROWDS[count]
    placed: list[Solid] = []
    for shape, colour in zip(shapes[:count], colours[:count], strict=True):
        for _ in range(PLACEMENT_ATTEMPTS):
            radius = float(rng.uniform(smallest, largest))
            margin = radius * 1.22 + 1
            x, y = (float(c) for c in rng.uniform(margin, CANVAS - margin, 2))
            if all(math.hypot(x - s.x, y - s.y) > (radius + s.radius) * 1.12 for s in placed):
                placed.append(Solid(shape, colour, x, y, radius, float(rng.uniform(-0.45, 0.45))))
                break
    return tuple(placed)
