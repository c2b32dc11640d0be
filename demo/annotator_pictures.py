"""The annotator's training pictures: renders of many sizes and crops, degraded as pictures from elsewhere are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.annotator_truth import Maps, truth, window
from demo.hints import Pixels
from demo.recipe import PICTURE_SIZE
from demo.render import render
from demo.scene import Scene

#: Sides of a batch's pictures; half of the batches are of PICTURE_SIZE, which a service fits pictures to.
SIDES = (96, 112, 128, 144, 160)
USUAL_SHARE = 0.5
#: Of the others, how many are cut to two different sides.
CUT_SHARE = 0.5
#: How often a picture is drawn at another size and fitted, and by which factors.
FITTED_SHARE, FITTED = 0.3, (0.6, 1.6)
#: Probability of each kind of degradation.
WORN = 0.3


@dataclass(frozen=True, slots=True)
class Shape:
    """Height and width of a batch's pictures in pixels."""

    height: int
    width: int


def random_shape(rng: np.random.Generator) -> Shape:
    if rng.random() < USUAL_SHARE:
        return Shape(PICTURE_SIZE, PICTURE_SIZE)
    height, width = (int(side) for side in rng.choice(SIDES, 2))
    return Shape(height, width if rng.random() < CUT_SHARE else height)


def training_picture(scene: Scene, shape: Shape, rng: np.random.Generator) -> tuple[Pixels, Maps]:
    """A picture of `scene`, uint8 RGB [height, width, 3], and its exact maps, with random crop and degradation."""
    size = max(shape.height, shape.width)
    drawn = render(scene, size)
    image = drawn.image
    if rng.random() < FITTED_SHARE:
        other = max(8, round(size * float(np.exp(rng.uniform(*np.log(FITTED))))))
        image = fitted(render(scene, other).image, size)
    top, left = (int(rng.integers(size - side + 1)) for side in (shape.height, shape.width))
    mirrored = bool(rng.integers(2))
    maps = window(truth(drawn), top, left, shape.height, shape.width, mirrored)
    image = image[top : top + shape.height, left : left + shape.width]
    image = np.ascontiguousarray(image[:, ::-1] if mirrored else image)
    for wear in WEARS:
        if rng.random() < WORN:
            image = wear(image, rng)
    return image, maps


def fitted(image: Pixels, size: int) -> Pixels:
    """A square picture at another size, by the filters of the ControlNet annotators' `resize_image`."""
    grows = size > image.shape[0]
    method = cv2.INTER_LANCZOS4 if grows else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, (size, size), interpolation=method), np.uint8)


def compressed(image: Pixels, quality: int) -> Pixels:
    """The picture after JPEG; quality 1..100 as libjpeg has it."""
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1])


def _lit(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Another exposure, contrast and white balance."""
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
    return _pixels(128 + (image.astype(np.float32) - 128) * gain + rng.uniform(-12, 12))


def _blurred(image: Pixels, rng: np.random.Generator) -> Pixels:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.1))), np.uint8)


def _mottled(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Blotches some pixels wide, as from latents that still have some noise."""
    height, width = image.shape[:2]
    cells = int(rng.integers(2, 9))
    coarse = rng.normal(size=(height // cells + 1, width // cells + 1, 3)).astype(np.float32)
    blotches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return _pixels(image + blotches * rng.uniform(2, 12))


def _noisy(image: Pixels, rng: np.random.Generator) -> Pixels:
    return _pixels(image + rng.normal(size=image.shape) * rng.uniform(1, 9))


def _jpeg(image: Pixels, rng: np.random.Generator) -> Pixels:
    return compressed(image, int(rng.integers(35, 96)))


#: The degradations, in the order in which they are applied.
WEARS: tuple[Callable[[Pixels, np.random.Generator], Pixels], ...] = (_lit, _blurred, _mottled, _noisy, _jpeg)


def _pixels(values: NDArray[np.floating]) -> Pixels:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)
