"""Outlines as a hand draws them: thick, a little off, with a gap here and there. White on black."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.render import Rendering
from demo.scene import CANVAS

#: Range of the pen's width and of the standard deviation of its wobble, in scene units; gaps an outline, less one;
#: range of a gap's length, as a share of the outline.
WIDTH, WOBBLE = (2.0, 4.0), (0.2, 1.1)
GAPS, GAP = 3, (0.03, 0.1)
#: The wobble is a sum of waves, this many along an outline at most.
WAVES = 7
SHORTEST_OUTLINE = 8
#: cv2 takes integer coordinates in fractions of 1 / 2**SHIFT pixel.
SHIFT = 4


def scribble(rendering: Rendering, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The solids' outlines, holes included: uint8 [size, size], 0 or 255."""
    drawn = np.zeros(rendering.ids.shape, np.uint8)
    unit = drawn.shape[0] / CANVAS
    width, wobble = (float(rng.uniform(*span)) * unit for span in (WIDTH, WOBBLE))
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(1, round(width)),) * 2)
    for number in range(1, len(rendering.scene.solids) + 1):
        solid = (rendering.ids == number).astype(np.uint8)
        for outline in cv2.findContours(solid, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[0]:
            if len(outline) >= SHORTEST_OUTLINE:
                strokes = _strokes(outline[:, 0] + _wobble(len(outline), rng) * wobble, rng)
                cv2.polylines(drawn, list(strokes), False, 255, 1, cv2.LINE_8, SHIFT)
    return np.asarray(cv2.dilate(drawn, pen), np.uint8)


def _wobble(points: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A closed curve of standard deviation one around the origin, [points, 2]."""
    waves = np.arange(1, WAVES + 1)
    along = 2 * np.pi * waves[:, None] * np.arange(points) / points
    heights, phases = rng.normal(size=(2, WAVES, 1)), rng.uniform(0, 2 * np.pi, (2, WAVES, 1))
    return np.sqrt(2 / WAVES) * (heights * np.sin(along + phases)).sum(1).T


def _strokes(points: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int32]:
    """The pieces from point to point of a closed line, less its gaps: [n, 2, 2], in fractions of a pixel."""
    kept = np.ones(len(points), bool)
    for _ in range(int(rng.integers(GAPS))):
        start, length = rng.integers(len(points)), round(len(points) * rng.uniform(*GAP))
        kept[np.arange(start, start + length) % len(points)] = False
    fine = np.rint(points * 2**SHIFT).astype(np.int32)
    return np.stack([fine, np.roll(fine, -1, axis=0)], axis=1)[kept]
