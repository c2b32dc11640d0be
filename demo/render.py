"""Render a scene: signed distances to coverage and relief, then one lamp with a soft shadow and a highlight."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.scene import CANVAS, PALETTE, Scene
from demo.shapes import Field, relief, signed_distance

LAMP_HEIGHT = 1.1
STEEPEST_SLOPE = 2.0
SHADOW_LENGTH = 5.0
SHADOW_BLUR = 3.0


@dataclass(frozen=True, slots=True)
class Rendering:
    """A drawn scene and the exact geometry behind its pixels; every array is [size, size, ...].

    image: uint8 RGB. ids: uint8, 0 = ground, k = solids[k - 1]. coverage: float32 0..1, how much of the pixel
    is solid. relief: float32 height in scene units. normals: float32 unit vectors, x right, y down, z to the eye.
    """

    scene: Scene
    image: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    coverage: Field
    relief: Field
    normals: Field


def render(scene: Scene, size: int = 128) -> Rendering:
    """Draw `scene` at size x size pixels. The same scene gives the same bytes."""
    x, y = pixel_centres(size)
    pixel = CANVAS / size
    covers, heights = [], np.zeros((size, size), np.float32)
    ids = np.zeros((size, size), np.uint8)
    for number, solid in enumerate(scene.solids, start=1):
        distance = signed_distance(solid, x, y)
        cover = np.clip(0.5 - distance / pixel, 0, 1)
        covers.append(cover)
        heights = np.maximum(heights, relief(solid, distance))
        ids[cover > 0.5] = number
    coverage = functools.reduce(np.maximum, covers, np.zeros((size, size), np.float32))
    albedo = _ground(scene, x, y, pixel)
    for solid, cover in zip(scene.solids, covers, strict=True):
        albedo = _mix(albedo, _rgb(solid.colour), cover)
    normals = _normals(heights, pixel)
    image = _shade(scene, albedo, coverage, normals, pixel)
    return Rendering(scene, image, ids, coverage, heights, normals)


@functools.cache
def pixel_centres(size: int) -> tuple[Field, Field]:
    """(x, y) of every pixel centre in scene units, float32 [size, size] each."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    return (x + 0.5) / size * np.float32(CANVAS), (y + 0.5) / size * np.float32(CANVAS)


def _rgb(colour: str) -> Field:
    return np.asarray(PALETTE[colour], np.float32) / 255


def _mix(below: Field, above: Field, share: Field) -> Field:
    return below * (1 - share[..., None]) + above * share[..., None]


def into_stripe(scene: Scene, x: Field, y: Field) -> Field:
    """How deep every point is inside a stripe of the second tone, in scene units; negative outside."""
    across = (x + y if scene.rising else x - y) * math.sqrt(0.5)
    offset = np.abs((across + scene.phase) % scene.period - scene.period / 2)
    return offset - scene.period / 4


def into_dot(scene: Scene, x: Field, y: Field) -> Field:
    """How deep every point is inside a dot, in scene units; negative outside."""
    dx, dy = (((c + scene.phase) % scene.period) - scene.period / 2 for c in (x, y))
    return scene.period * 0.25 - np.sqrt(dx * dx + dy * dy)


def _stripes(scene: Scene, x: Field, y: Field, pixel: float) -> Field:
    return np.clip(into_stripe(scene, x, y) / pixel + 0.5, 0, 1)


def _checks(scene: Scene, x: Field, y: Field, pixel: float) -> Field:
    column, row = (x + scene.phase) // scene.period, (y + scene.phase) // scene.period
    return ((column + row) % 2).astype(np.float32)


def _dots(scene: Scene, x: Field, y: Field, pixel: float) -> Field:
    return np.clip(into_dot(scene, x, y) / pixel + 0.5, 0, 1)


def _ramp(scene: Scene, x: Field, y: Field, pixel: float) -> Field:
    return np.clip((y - 14) / 100, 0, 1)


#: Ground style -> share of the second tone at every pixel, 0..1. A plain ground has no second tone.
_TEXTURES: dict[str, Callable[[Scene, Field, Field, float], Field]] = {
    "striped": _stripes,
    "checkered": _checks,
    "dotted": _dots,
    "gradient": _ramp,
}


def _ground(scene: Scene, x: Field, y: Field, pixel: float) -> Field:
    first = _rgb(scene.ground)
    albedo = np.broadcast_to(first, (*x.shape, 3))
    if scene.style in _TEXTURES:
        if scene.ground_end is not None:
            second = _rgb(scene.ground_end)
        else:  # the texture's second tone is a darker one of the same name, or a lighter one of a dark colour
            second = first * 0.72 if first.mean() > 0.3 else first * 0.6 + 0.22
        albedo = _mix(albedo, second, _TEXTURES[scene.style](scene, x, y, pixel))
    half = CANVAS / 2
    towards_lamp = ((x - half) * scene.light[0] + (y - half) * scene.light[1]) / half
    return albedo * (1 + 0.10 * np.clip(towards_lamp, -1, 1))[..., None]


def _normals(heights: Field, pixel: float) -> Field:
    smooth = cv2.GaussianBlur(heights, (0, 0), 1.0 / pixel)
    slope_x, slope_y = np.zeros_like(smooth), np.zeros_like(smooth)
    slope_x[:, 1:-1] = (smooth[:, 2:] - smooth[:, :-2]) / (2 * pixel)
    slope_y[1:-1] = (smooth[2:] - smooth[:-2]) / (2 * pixel)
    slope_x, slope_y = (np.clip(s, -STEEPEST_SLOPE, STEEPEST_SLOPE) for s in (slope_x, slope_y))
    return np.stack([-slope_x, -slope_y, np.ones_like(slope_x)], -1) / np.sqrt(slope_x**2 + slope_y**2 + 1)[..., None]


def _shade(scene: Scene, albedo: Field, coverage: Field, normals: Field, pixel: float) -> NDArray[np.uint8]:
    """Lambert and Blinn-Phong on the solids, a blurred drop shadow on the ground."""
    lamp = np.array([*scene.light, LAMP_HEIGHT])
    lamp = (lamp / np.linalg.norm(lamp)).astype(np.float32)
    halfway = lamp + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    lambert = np.clip(normals @ lamp, 0, 1)
    highlight = np.clip(normals @ halfway, 0, 1) ** 40 * coverage * 0.28
    shift = np.float32(
        [[1, 0, -scene.light[0] * SHADOW_LENGTH / pixel], [0, 1, -scene.light[1] * SHADOW_LENGTH / pixel]]
    )
    shadow = cv2.warpAffine(coverage, shift, coverage.shape[::-1])
    shadow = cv2.GaussianBlur(shadow, (0, 0), SHADOW_BLUR / pixel)
    light = (1 + coverage * 0.55 * (lambert - lamp[2])) * (1 - 0.38 * shadow * (1 - coverage))
    image = albedo * light[..., None] + highlight[..., None]
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
