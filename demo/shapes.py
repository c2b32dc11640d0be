"""Outlines and reliefs of the demo's six solids, as signed distance functions.

Distances are in scene units, negative inside (Inigo Quilez, "2D distance functions").
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from demo.scene import Solid

Field = NDArray[np.float32]

RING_RADIUS = 0.78
RING_HALF_WIDTH = 0.28


def signed_distance(solid: Solid, x: Field, y: Field) -> Field:
    """Distance of every point (x, y), float32 in scene units, to the outline of `solid`; negative inside."""
    dx, dy = x - np.float32(solid.x), y - np.float32(solid.y)
    if solid.shape in _ROUND:
        return _ROUND[solid.shape](np.sqrt(dx * dx + dy * dy), solid.radius)
    return _polygon_distance(corners(solid.shape, solid.radius, solid.angle), dx, dy)


def relief(solid: Solid, distance: Field) -> Field:
    """Height above the ground, float32 in scene units, 0 outside, from the solid's own signed distance."""
    return _RELIEFS[solid.shape](np.maximum(-distance, 0), solid.radius)


def corners(shape: str, radius: float, angle: float) -> Field:
    """Corners of a straight-edged shape around the origin, float32 [n, 2]."""
    points = _OUTLINES[shape]() * radius
    cos, sin = math.cos(angle), math.sin(angle)
    turned = np.stack([points[:, 0] * cos - points[:, 1] * sin, points[:, 0] * sin + points[:, 1] * cos], axis=1)
    return turned.astype(np.float32)


def _spokes(count: int, start: float, lengths: tuple[float, ...]) -> NDArray[np.float64]:
    turns = start + np.arange(count) * 2 * math.pi / count
    reach = np.resize(np.asarray(lengths), count)
    return np.stack([reach * np.cos(turns), reach * np.sin(turns)], axis=1)


def _cross() -> NDArray[np.float64]:
    arm, end = 0.36 * 1.1, 1.1
    quarter = np.array([(-arm, -end), (arm, -end), (arm, -arm)])
    turn = np.array([(0.0, 1.0), (-1.0, 0.0)])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


_OUTLINES: dict[str, Callable[[], NDArray[np.float64]]] = {
    "square": lambda: _spokes(4, math.pi / 4, (1.2,)),
    "triangle": lambda: _spokes(3, -math.pi / 2, (1.25,)),
    "star": lambda: _spokes(10, -math.pi / 2, (1.25, 0.55)),
    "cross": _cross,
}

_ROUND: dict[str, Callable[[Field, float], Field]] = {
    "circle": lambda reach, radius: reach - radius,
    "ring": lambda reach, radius: np.abs(reach - radius * RING_RADIUS) - radius * RING_HALF_WIDTH,
}


def _polygon_distance(points: Field, x: Field, y: Field) -> Field:
    squared = np.full(x.shape, np.inf, np.float32)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        along = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        qx, qy = wx - ex * along, wy - ey * along
        squared = np.minimum(squared, qx * qx + qy * qy)
        if ey != 0:
            inside ^= ((ay > y) != (by > y)) & (x < ex * (y - ay) / ey + ax)
    distance = np.sqrt(squared)
    return np.where(inside, -distance, distance)


def _dome(depth: Field, radius: float) -> Field:
    return np.sqrt(np.maximum(radius * radius - (radius - depth) ** 2, 0)) * 0.9


def _torus(depth: Field, radius: float) -> Field:
    width = radius * RING_HALF_WIDTH
    return np.sqrt(np.maximum(width * width - (width - np.minimum(depth, width)) ** 2, 0)) * 1.2


def _slab(rounding: float) -> Callable[[Field, float], Field]:
    def height(depth: Field, radius: float) -> Field:
        bevel = radius * rounding
        edge = np.sqrt(np.clip(1 - (1 - np.minimum(depth / bevel, 1)) ** 2, 0, 1))
        return bevel * 0.9 * edge + radius * 0.15 * (depth > 0)

    return height


def _roof(depth: Field, radius: float) -> Field:
    return depth * 0.9 + radius * 0.1 * (depth > 0)


_RELIEFS: dict[str, Callable[[Field, float], Field]] = {
    "circle": _dome,
    "ring": _torus,
    "square": _slab(0.35),
    "cross": _slab(0.25),
    "triangle": _roof,
    "star": _roof,
}
