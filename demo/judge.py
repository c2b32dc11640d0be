"""Recognise the colours, shapes and edges of a picture, with plain image processing and nothing trained.

Every measure is checked against renders (its ceiling) and against wrong pictures (its floor) by the tests.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.render import pixel_centres
from demo.scene import COLOURS, SHAPES, Scene, Solid
from demo.shapes import signed_distance

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

#: Below this saturation or value a pixel has no hue; it is then white or black by its value.
GREY_SATURATION, GREY_VALUE, WHITE_VALUE = 0.22, 0.22, 0.55
#: (upper hue bound in degrees, name), in order; red is on both ends of the circle.
HUES = (
    (15, "red"),
    (42, "orange"),
    (75, "yellow"),
    (165, "green"),
    (203, "cyan"),
    (262, "blue"),
    (312, "purple"),
    (345, "pink"),
    (361, "red"),
)
#: Pale, bright reds are called pink: hue range in degrees, largest saturation, smallest value.
PALE_PINK = (310, 350, 0.62, 0.6)

BORDER = 5
STRIP = 6
TEMPLATE_SIZE = 28
TEMPLATE_ANGLES = np.linspace(-0.5, 0.5, 17)
#: A blob smaller than this share of the picture is not an object; one that spans this share of it is the ground.
SMALLEST_BLOB, WIDEST_BLOB = 0.008, 0.97
EDGE_TOLERANCE = 2


@dataclass(frozen=True, slots=True)
class Sighting:
    """A blob of one colour and the shape it resembles most; overlap 0..1, area in pixels."""

    shape: str
    overlap: float
    area: int


def colour_indices(pixels: Pixels) -> NDArray[np.int8]:
    """Nearest colour name of every pixel as an index into COLOURS: uint8 [..., 3] RGB -> int8 [...]."""
    hsv = cv2.cvtColor(pixels.reshape(-1, 1, 3).astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[:, 0]
    hue, saturation, value = hsv.T
    by_hue = np.array([COLOURS.index(name) for _, name in HUES], np.int8)
    names = by_hue[np.searchsorted([bound for bound, _ in HUES], hue, side="right")]
    low, high, palest, darkest = PALE_PINK
    names[(hue >= low) & (hue < high) & (saturation < palest) & (value > darkest)] = COLOURS.index("pink")
    grey = (saturation < GREY_SATURATION) | (value < GREY_VALUE)
    white, black = COLOURS.index("white"), COLOURS.index("black")
    names[grey] = np.where(value[grey] >= WHITE_VALUE, white, black)
    return names.reshape(pixels.shape[:-1])


def dominant_colour(pixels: Pixels) -> str:
    """The most frequent colour name among pixels, uint8 [..., 3]."""
    return COLOURS[int(np.bincount(colour_indices(pixels).ravel(), minlength=len(COLOURS)).argmax())]


def ground_is_right(image: Pixels, scene: Scene) -> bool:
    """Whether the picture's border is mostly in a colour of the scene's ground."""
    border = np.ones(image.shape[:2], bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    return dominant_colour(image[border]) in scene.ground_colours


def gradient_ends(image: Pixels, scene: Scene) -> tuple[bool, bool]:
    """Whether the top rows show `ground` and the bottom rows `ground_end`."""
    return dominant_colour(image[:STRIP]) == scene.ground, dominant_colour(image[-STRIP:]) == scene.ground_end


def colours_in_masks(image: Pixels, scene: Scene, ids: Pixels) -> list[bool]:
    """For every solid: is its own colour the dominant one where its hint drew it? ids as in Rendering."""
    right = []
    for number, solid in enumerate(scene.solids, start=1):
        drawn = ids == number
        inner = cv2.erode(drawn.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        right.append(dominant_colour(image[inner if inner.sum() >= 30 else drawn]) == solid.colour)
    return right


def overlaps(image: Pixels, scene: Scene, ids: Pixels) -> list[float]:
    """For every solid: intersection over union of all that has its colour with where its hint drew it, 0..1."""
    named = colour_indices(image)
    shares = []
    for number, solid in enumerate(scene.solids, start=1):
        seen, drawn = named == COLOURS.index(solid.colour), ids == number
        shares.append(float((seen & drawn).sum() / (seen | drawn).sum()))
    return shares


def find_shape(image: Pixels, colour: str) -> Sighting | None:
    """The most convincing object of one colour, by area and by likeness to a template; None if there is none."""
    mask = (colour_indices(image) == COLOURS.index(colour)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    height, width = mask.shape
    best: tuple[float, Sighting] | None = None
    for label in range(1, count):
        _, _, w, h, area = (int(v) for v in boxes[label])
        if area < SMALLEST_BLOB * mask.size or w > WIDEST_BLOB * width or h > WIDEST_BLOB * height:
            continue
        shape, overlap = _nearest_template(labels == label)
        score = overlap * area**0.25
        if best is None or score > best[0]:
            best = (score, Sighting(shape, overlap, area))
    return best and best[1]


def shapes_found(image: Pixels, scene: Scene) -> list[bool]:
    """For every solid: does the best object of its colour have its shape, wherever it is?"""
    sightings = [find_shape(image, solid.colour) for solid in scene.solids]
    return [s is not None and s.shape == solid.shape for s, solid in zip(sightings, scene.solids, strict=True)]


def edge_f1(drawn: Pixels, hinted: Pixels, tolerance: int = EDGE_TOLERANCE) -> float:
    """Harmonic mean of edge precision and recall, an edge pixel counting when the other map has one within
    `tolerance` pixels. Both maps uint8 [h, w], non-zero = edge; 1.0 for identical maps, 0.0 without a match."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * tolerance + 1, 2 * tolerance + 1))
    a, b = ((edges > 0).astype(np.uint8) for edges in (drawn, hinted))
    precision = float((a & cv2.dilate(b, disc)).sum()) / max(1, int(a.sum()))
    recall = float((b & cv2.dilate(a, disc)).sum()) / max(1, int(b.sum()))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@functools.cache
def _templates() -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.float64]]:
    """(names [n], cropped masks [n, size, size], aspect ratios [n]) of every shape at every angle it is drawn at."""
    x, y = pixel_centres(128)
    names, crops, aspects = [], [], []
    for shape in SHAPES:
        for angle in TEMPLATE_ANGLES:
            solid = Solid(shape, COLOURS[0], 64.0, 64.0, 35.0, float(angle))
            crop, aspect = _crop(signed_distance(solid, x, y) < 0)
            names.append(shape)
            crops.append(crop)
            aspects.append(aspect)
    return tuple(names), np.stack(crops), np.array(aspects)


def _nearest_template(mask: Mask) -> tuple[str, float]:
    """(shape, overlap): intersection over union with the best template, less for a wrong aspect ratio."""
    names, templates, aspects = _templates()
    crop, aspect = _crop(mask)
    union = np.maximum(templates, crop).sum((1, 2))
    overlaps = np.minimum(templates, crop).sum((1, 2)) / union
    overlaps = overlaps * np.sqrt(np.minimum(aspect / aspects, aspects / aspect))
    best = int(overlaps.argmax())
    return names[best], float(overlaps[best])


def _crop(mask: Mask) -> tuple[NDArray[np.float32], float]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    size = (TEMPLATE_SIZE, TEMPLATE_SIZE)
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA)), cut.shape[1] / cut.shape[0]
