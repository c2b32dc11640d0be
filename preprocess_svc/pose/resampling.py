"""Resampling and blurring as matrices.

What OpenPose does to a map (cubic or Lanczos resizing, blur) is linear and works on rows and columns apart. So it is a
matrix for each side, and a point of the big map, or a strip of it, comes from the small map without making the big one:
`rows[y] @ small @ columns[x]`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

STRIDE = 8
"""Pixels of the network's picture on the side of a map's cell."""


def stretch(cells: int, seen: int, goal: int, shrinks: bool) -> Matrix:
    """A side of a map brought to the picture's size as OpenPose's annotator does it.

    Eight times larger by Lanczos; cut to what was picture and not padding; then resized.

    Args:
        cells: of the map.
        seen: pixels of the picture that the network saw, without padding; at most 8 * cells.
        goal: pixels wanted.
        shrinks: whether the second step makes the map smaller; by area then, by Lanczos otherwise.

    Returns:
        FLOAT64 [goal, cells].
    """
    large = cv2.resize(np.eye(cells), (cells, STRIDE * cells), interpolation=cv2.INTER_LANCZOS4)[:seen]
    return _float(cv2.resize(large, (cells, goal), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4))


def between_corners(cells: int, goal: int) -> Matrix:
    """Linear resizing that keeps the first and last value in place (torch's align_corners): FLOAT64 [goal, cells]."""
    at = np.arange(goal) * ((cells - 1) / max(goal - 1, 1))
    before = np.minimum(at.astype(np.intp), max(cells - 2, 0))
    matrix = np.zeros((goal, cells))
    matrix[np.arange(goal), before] = 1 - (at - before)
    matrix[np.arange(goal), np.minimum(before + 1, cells - 1)] += at - before
    return matrix


def blurred(matrix: Matrix, sigma: float) -> Matrix:
    """A Gaussian along the first axis, as SciPy's gaussian_filter: cut at 4 `sigma`, the edge mirrored."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return _float(cv2.sepFilter2D(matrix, -1, np.ones(1), kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT))


def gain(matrix: Matrix) -> float:
    """The most by which the matrix can raise the largest absolute value of what it is applied to."""
    return float(np.abs(matrix).sum(1).max())


def _float(array: NDArray[np.generic]) -> Matrix:
    return array.astype(np.float64, copy=False)
