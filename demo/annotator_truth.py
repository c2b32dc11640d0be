"""The true maps for the demo's annotator: the renderer's own geometry, without anything that is not visible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.hints import classes, nearness, normals
from demo.render import Rendering
from demo.shapes import Field
from demo.softedge import soft_edges


@dataclass(frozen=True, slots=True)
class Maps:
    """The four maps of one picture, as the annotator's graph gives them.

    depth: float32 [h, w], nearness 0..1. normal: float32 [3, h, w], unit vectors, x right, y up, z to the eye.
    classes: uint8 [h, w], indices into SEGMENT_COLOURS. softedge: float32 [h, w], 0..1.
    """

    depth: Field
    normal: Field
    classes: NDArray[np.uint8]
    softedge: Field


def truth(rendering: Rendering) -> Maps:
    """The exact maps of a rendering. The ground's tilt leaves no trace in a picture, so its depth is that of a ground
    that faces the eye, as its normals are."""
    vectors = normals(rendering).transpose(2, 0, 1)
    return Maps(
        depth=nearness(rendering, tilt=0.0),
        normal=(vectors / np.linalg.norm(vectors, axis=0, keepdims=True)).astype(np.float32),
        classes=classes(rendering),
        softedge=soft_edges(rendering),
    )


def window(maps: Maps, top: int, left: int, height: int, width: int, mirrored: bool = False) -> Maps:
    """A cut-out of maps, as they are of the same cut-out of the picture; mirrored left to right after that."""
    rows, columns = slice(top, top + height), slice(left, left + width)
    depth, normal, found, edges = (
        m[..., rows, columns] for m in (maps.depth, maps.normal, maps.classes, maps.softedge)
    )
    if mirrored:
        depth, normal, found, edges = (m[..., ::-1] for m in (depth, normal, found, edges))
        normal = normal * np.array([-1, 1, 1], np.float32)[:, None, None]
    return Maps(depth, normal, found, edges)
