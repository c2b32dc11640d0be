"""Measure the error of an annotator's maps: pure functions of arrays, over all pixels of a set of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.annotator_truth import Maps
from demo.hints import SEGMENT_COLOURS, Pixels
from demo.shapes import Field

#: Depth counts as right within this ratio (Eigen et al. 2014), of nearness: a truth is 0.08 to 1, and what was found
#: is raised to SMALLEST_NEARNESS.
RATIO, SMALLEST_NEARNESS = 1.25, 0.01
#: A soft edge is an edge from here on; two edges match within so many pixels.
EDGE, TOLERANCE = 0.5, 1


@dataclass(frozen=True, slots=True)
class Quality:
    """pictures: how many were judged. depth_rmse: of nearness 0..1. depth_near: share of pixels with a ratio below
    RATIO. depth_rmse_tilted, depth_near_tilted: against the scene's own depth, whose ground slopes unseen.
    normal, normal_solids: mean angle in degrees, of all pixels and of those of solids. iou: class -> intersection over
    union, nan for one that neither map has. edges: harmonic mean of precision and recall of the edges' crests.
    """

    pictures: int
    depth_rmse: float
    depth_near: float
    depth_rmse_tilted: float
    depth_near_tilted: float
    normal: float
    normal_solids: float
    iou: dict[str, float]
    edges: float

    @property
    def miou(self) -> float:
        """Mean over the classes that occur."""
        return float(np.nanmean(list(self.iou.values())))


def quality(found: Sequence[Maps], wanted: Sequence[Maps], tilted: Sequence[Field]) -> Quality:
    """Judge the maps of pictures of one size. wanted: the truth. tilted: the true depth with the scene's tilt.

    Raises ValueError if the three differ in length or are empty.
    """
    if not found or not len(found) == len(wanted) == len(tilted):
        raise ValueError(f"Expected as many maps as truths, got {len(found)}, {len(wanted)} and {len(tilted)}.")
    depth, own = (np.stack([maps.depth for maps in of]) for of in (found, wanted))
    angles = np.stack([angle(f.normal, w.normal) for f, w in zip(found, wanted, strict=True)])
    labels, right = (np.stack([maps.classes for maps in of]) for of in (found, wanted))
    return Quality(
        len(found),
        *depth_errors(depth, own),
        *depth_errors(depth, np.stack(tilted)),
        float(angles.mean()),
        float(angles[right > 0].mean()) if (right > 0).any() else float("nan"),
        overlaps(labels, right),
        edge_score([maps.softedge for maps in found], [maps.softedge for maps in wanted]),
    )


def depth_errors(found: Field, wanted: Field) -> tuple[float, float]:
    """Root mean square error, and share of values whose ratio is below RATIO; arrays of nearness of one shape."""
    rmse = float(np.sqrt(np.square(found - wanted).mean()))
    raised = np.maximum(found, SMALLEST_NEARNESS)
    return rmse, float((np.maximum(raised / wanted, wanted / raised) < RATIO).mean())


def angle(found: Field, wanted: Field) -> Field:
    """Degrees between unit vectors, [3, h, w] each -> float32 [h, w]."""
    # From the chord: the arc cosine of a float32 near 1 is off by hundredths of a degree.
    chord = np.linalg.norm(found - wanted, axis=0)
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chord / 2, 0, 1))), np.float32)


def overlaps(found: Pixels, wanted: Pixels) -> dict[str, float]:
    """Class -> intersection over union of its pixels in two maps of indices, of one shape."""
    shares = {}
    for index, name in enumerate(SEGMENT_COLOURS):
        seen, true = found == index, wanted == index
        either = int((seen | true).sum())
        shares[name] = int((seen & true).sum()) / either if either else float("nan")
    return shares


def edge_score(found: Sequence[Field], wanted: Sequence[Field]) -> float:
    """Harmonic mean of the share of found crests that have a true one within TOLERANCE pixels and the other way round.

    Counted over all maps together, at one threshold for all, as the ODS of Martin et al. 2004 is; without its
    one-to-one matching. 0 without a match.
    """
    disc = np.ones((2 * TOLERANCE + 1, 2 * TOLERANCE + 1), np.uint8)
    met = np.zeros(2)
    drawn = np.zeros(2)
    for pair in zip(map(crests, found), map(crests, wanted), strict=True):
        for side, (own, other) in enumerate((pair, pair[::-1])):
            reach = cv2.dilate(other.astype(np.uint8), disc) > 0
            met[side] += (own & reach).sum()
            drawn[side] += own.sum()
    precision, recall = met / np.maximum(drawn, 1)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def crests(edges: Field) -> NDArray[np.bool_]:
    """The middle lines of soft edges of EDGE or more: pixels that are largest across the edge, float [h, w] -> [h, w].

    Across is the direction, of the two axes and the two diagonals, in which the map bends most.
    """
    framed = np.pad(edges, 1, mode="edge")
    height, width = edges.shape

    def shifted(down: int, right: int) -> Field:
        return framed[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    bends, peaks = [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one, other = shifted(down, right), shifted(-down, -right)
        bends.append((2 * edges - one - other) / (down * down + right * right))
        peaks.append((edges >= one) & (edges >= other))
    across = np.argmax(bends, axis=0)
    return np.asarray(np.take_along_axis(np.stack(peaks), across[None], axis=0)[0] & (edges >= EDGE))
