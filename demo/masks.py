"""Random masks for repainting, as people draw them: boxes, blobs, halves, a solid, all but the solids."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.render import Rendering, pixel_centres
from demo.scene import CANVAS, Solid

Mask = NDArray[np.bool_]

#: Range of the share of the picture that a box, a blob or a half takes.
AREA = (0.15, 0.6)
#: How far a spot over a solid reaches beyond its radius (corners) and then on (shadow), factor and scene units.
CORNERS, SHADOW = 1.25, 6.0
#: Range of the distance from a solid's outline to that of its mask, and to that of everything else's, scene units.
MARGIN, CLEARANCE = (3.0, 10.0), (2.0, 6.0)
#: A blob is drawn this coarsely and then enlarged.
BLOB_CELLS = 32
BLOB_SMOOTHNESS = (2.5, 5.0)


def spot(solid: Solid, size: int) -> Mask:
    """A disc that hides a solid and its shadow and tells no more than where it was and how large: [size, size]."""
    x, y = pixel_centres(size)
    return np.asarray(np.hypot(x - solid.x, y - solid.y) <= CORNERS * solid.radius + SHADOW)


def random_mask(rendering: Rendering, rng: np.random.Generator) -> Mask:
    """True where the picture is to be repainted, [size, size]; never all of it, never none."""
    names = list(_MASKS)
    return _MASKS[str(rng.choice(names, p=[SHARES[name] for name in names]))](rendering, rng)


def _box(rendering: Rendering, rng: np.random.Generator) -> Mask:
    size = rendering.ids.shape[0]
    area, stretch = rng.uniform(*AREA), np.exp(rng.uniform(-0.6, 0.6))
    width = float(np.clip(np.sqrt(area * stretch), area, 1))
    left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - area / width)
    x, y = (places / CANVAS for places in pixel_centres(size))
    return np.asarray((x >= left) & (x < left + width) & (y >= top) & (y < top + area / width))


def _blob(rendering: Rendering, rng: np.random.Generator) -> Mask:
    rough = rng.normal(size=(BLOB_CELLS, BLOB_CELLS)).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), float(rng.uniform(*BLOB_SMOOTHNESS)))
    wide = cv2.resize(smooth, rendering.ids.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(wide > np.quantile(wide, 1 - rng.uniform(*AREA)))


def _half(rendering: Rendering, rng: np.random.Generator) -> Mask:
    across = pixel_centres(rendering.ids.shape[0])[rng.integers(2)] / CANVAS
    share = rng.uniform(0.3, AREA[1])
    return np.asarray(across < share if rng.integers(2) else across >= 1 - share)


def _solid(rendering: Rendering, rng: np.random.Generator) -> Mask:
    """One solid or, as often, all of them; under spots or just beyond the outline."""
    solids, size = rendering.scene.solids, rendering.ids.shape[0]
    chosen = range(len(solids)) if rng.integers(2) else [int(rng.integers(len(solids)))]
    if rng.integers(2):
        hidden = np.logical_or.reduce([spot(solids[i], size) for i in chosen])
        if not hidden.all():
            return np.asarray(hidden)
    return _widened(np.isin(rendering.ids, [i + 1 for i in chosen]), rng.uniform(*MARGIN))


def _surroundings(rendering: Rendering, rng: np.random.Generator) -> Mask:
    return ~_widened(rendering.ids > 0, rng.uniform(*CLEARANCE))


def _widened(mask: Mask, margin: float) -> Mask:
    reach = max(1, round(margin * mask.shape[0] / CANVAS))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


_MASKS: dict[str, Callable[[Rendering, np.random.Generator], Mask]] = {
    "box": _box,
    "blob": _blob,
    "half": _half,
    "solid": _solid,
    "surroundings": _surroundings,
}
#: Probability of each.
SHARES = {"box": 0.22, "blob": 0.2, "half": 0.18, "solid": 0.3, "surroundings": 0.1}
