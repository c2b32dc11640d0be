"""Exact soft edges of a rendered scene, like those that edge networks (HED, PiDiNet) find.

Outlines of solids are white, borders within a ground's texture grey, and both fade within a few pixels, as a network's
edges do at any size. Shadows, highlights, gradients and a relief's creases are not edges.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from demo.render import Rendering, into_dot, into_stripe, pixel_centres
from demo.scene import CANVAS, Scene
from demo.shapes import Field, signed_distance

#: Standard deviation of an edge's profile in pixels.
SPREAD = 1.2
#: Peaks: of a solid's outline and of a texture's border.
OUTLINE, TEXTURE = 1.0, 0.4


def soft_edges(rendering: Rendering) -> Field:
    """How much of an edge every pixel is, float32 [size, size] of 0..1, from its distance to the exact border."""
    scene, size = rendering.scene, rendering.ids.shape[0]
    x, y = pixel_centres(size)
    found = np.zeros((size, size), np.float32)
    if scene.style in _BORDERS:
        profile = _profile(_BORDERS[scene.style](scene, x, y), size)
        found = TEXTURE * profile * (1 - rendering.coverage)
    for solid in scene.solids:
        found = np.maximum(found, OUTLINE * _profile(signed_distance(solid, x, y), size))
    return found.astype(np.float32)


def _profile(distance: Field, size: int) -> Field:
    """1 on the border, down to 0 with the distance; in scene units, of either sign."""
    pixels = distance * (size / CANVAS)
    return np.asarray(np.exp(-0.5 * np.square(pixels / SPREAD)), np.float32)


def _between_checks(scene: Scene, x: Field, y: Field) -> Field:
    """Distance to the nearest line of the grid."""
    along = ((c + scene.phase) % scene.period for c in (x, y))
    return np.minimum(*(np.minimum(c, scene.period - c) for c in along))


#: Ground style -> distance of every point to the nearest border of its texture. The others have none.
_BORDERS: dict[str, Callable[[Scene, Field, Field], Field]] = {
    "striped": into_stripe,
    "checkered": _between_checks,
    "dotted": into_dot,
}
