"""Exact control hints of a rendered scene, from its geometry and not from an extractor.

A new control needs one row in HINTS; training picks it up once demo.recipe gives it a schedule.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.masks import random_mask
from demo.render import Rendering, pixel_centres
from demo.scene import CANVAS
from demo.scribble import scribble
from demo.shapes import Field
from demo.softedge import soft_edges

Pixels = NDArray[np.uint8]

#: The demo's Canny thresholds, in the units of cv2.Canny on 8-bit pictures.
CANNY_LOW, CANNY_HIGH = 60, 140

#: Colours of a segmentation map, RGB.
SEGMENT_COLOURS: dict[str, tuple[int, int, int]] = {
    "ground": (120, 120, 120),
    "circle": (204, 5, 255),
    "square": (235, 255, 7),
    "triangle": (4, 250, 7),
    "star": (255, 51, 7),
    "ring": (10, 190, 212),
    "cross": (11, 102, 255),
}


def edges(image: Pixels) -> Pixels:
    """Canny edges of an RGB picture: uint8 [h, w], 0 or 255 (Canny 1986, OpenCV's implementation)."""
    return np.asarray(cv2.Canny(image, CANNY_LOW, CANNY_HIGH), np.uint8)


def _canny(rendering: Rendering) -> Pixels:
    return _grey(edges(rendering.image))


def nearness(rendering: Rendering, tilt: float) -> Field:
    """1 is close, float32 [size, size] of 0..1: solids rise by their relief from a ground that slopes by `tilt`."""
    half = CANVAS / 2
    _, y = pixel_centres(rendering.ids.shape[0])
    ground = 0.18 + 0.4 * tilt * (y - half) / half
    near = ground + rendering.relief / 40 * 0.6 + 0.15 * (rendering.coverage > 0.5)
    return np.asarray(np.clip(near, 0, 1), np.float32)


def _depth(rendering: Rendering) -> Pixels:
    return _grey((nearness(rendering, rendering.scene.tilt) * 255).astype(np.uint8))


def normals(rendering: Rendering) -> Field:
    """Float32 [size, size, 3]: x right, y up, z to the eye; the ground faces the eye, outlines are in between."""
    cover = rendering.coverage[..., None]
    facing = np.array([0, 0, 1], np.float32)
    return np.asarray((rendering.normals * cover + facing * (1 - cover)) * np.array([1, -1, 1], np.float32))


def _normal(rendering: Rendering) -> Pixels:
    """Normals as colours: red to the right, green up, blue to the eye."""
    return np.asarray(np.clip((normals(rendering) * 0.5 + 0.5) * 255, 0, 255), np.uint8)


def classes(rendering: Rendering) -> Pixels:
    """Index into SEGMENT_COLOURS of every pixel, uint8 [size, size]."""
    names = ["ground", *(solid.shape for solid in rendering.scene.solids)]
    return np.array([list(SEGMENT_COLOURS).index(name) for name in names], np.uint8)[rendering.ids]


def _segmentation(rendering: Rendering) -> Pixels:
    return np.array(list(SEGMENT_COLOURS.values()), np.uint8)[classes(rendering)]


def _softedge(rendering: Rendering) -> Pixels:
    return _grey(np.rint(soft_edges(rendering) * 255).astype(np.uint8))


def _scribble(rendering: Rendering) -> Pixels:
    return _grey(scribble(rendering, _own_generator("scribble", rendering)))


def _inpaint(rendering: Rendering) -> Pixels:
    return masked(rendering.image, random_mask(rendering, _own_generator("inpaint", rendering)))


def masked(image: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """RGB [h, w, 3] and what to repaint of it [h, w] -> uint8 [h, w, 4], the fourth 255 where it is to be repainted."""
    return np.dstack([image, np.where(mask, np.uint8(255), np.uint8(0))])


def _own_generator(kind: str, rendering: Rendering) -> np.random.Generator:
    """For hints with random parts: the same scene always gets the same hint."""
    return np.random.default_rng(zlib.crc32(f"{kind} {rendering.scene}".encode()))


def _grey(plane: Pixels) -> Pixels:
    return np.repeat(plane[..., None], 3, axis=2)


#: Control kind -> hint of the picture's size, uint8: RGB, or RGB and a mask (see `masked`).
HINTS: dict[str, Callable[[Rendering], Pixels]] = {
    "canny": _canny,
    "depth": _depth,
    "normal": _normal,
    "segmentation": _segmentation,
    "softedge": _softedge,
    "scribble": _scribble,
    "inpaint": _inpaint,
}


def hint(kind: str, rendering: Rendering) -> Pixels:
    """The hint of one control kind, uint8 [size, size, 3 or 4]. Raises KeyError for a kind not in HINTS."""
    return HINTS[kind](rendering)
