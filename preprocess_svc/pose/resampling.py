"""Resampling and blurring as matrices.

What OpenPose does to a map (cubic or Lanczos resizing, blur) is linear and separable into rows and columns. So it is
one matrix per side, and a point or a strip of the large map can be computed from the small map without the large one:
`rows[y] @ small @ columns[x]`.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

STRIDE = 8
"""Pixels of the network's picture per side of a map's cell."""


def stretch(cells: int, seen: int, goal: int, shrinks: bool) -> Matrix:
    """The matrix that resizes one side of a map to the picture's size, as OpenPose's annotator does.

    Enlarged eight times by Lanczos; cropped to the picture without its padding; then resized.

    Args:
        cells: cells of the map.
        seen: pixels of the picture that the network saw, without padding; at most 8 * cells.
        goal: pixels of the result.
        shrinks: whether the last step shrinks the map: by area if so, else by Lanczos.

    Returns:
        FLOAT64 [goal, cells].
    """
    large = cv2.resize(np.eye(cells), (cells, STRIDE * cells), interpolation=cv2.INTER_LANCZOS4)[:seen]
    return _float(cv2.resize(large, (cells, goal), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4))


def between_corners(cells: int, goal: int) -> Matrix:
    """The matrix of linear resizing that keeps the end points (torch's align_corners): FLOAT64 [goal, cells]."""
    at = np.arange(goal) * ((cells - 1) / max(goal - 1, 1))
    before = np.minimum(at.astype(np.intp), max(cells - 2, 0))
    matrix = np.zeros((goal, cells))
    matrix[np.arange(goal), before] = 1 - (at - before)
    matrix[np.arange(goal), np.minimum(before + 1, cells - 1)] += at - before
    return matrix


def blurred(matrix: Matrix, sigma: float) -> Matrix:
    """Gaussian blur along the first axis, as SciPy's gaussian_filter: cut at 4 `sigma`, mirrored at the edges."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return _float(cv2.sepFilter2D(matrix, -1, np.ones(1), kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT))


def gain(matrix: Matrix) -> float:
    """The largest factor by which the matrix can raise the largest absolute value of its operand."""
    return float(np.abs(matrix).sum(1).max())


def _float(array: NDArray[np.generic]) -> Matrix:
    return array.astype(np.float64, copy=False)
