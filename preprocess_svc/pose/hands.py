"""Find the points of a hand in the hand network's maps."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.pictures import Pixels
from preprocess_svc.pose.fitting import resized
from preprocess_svc.pose.resampling import Matrix, blurred, stretch
from preprocess_svc.pose.skeleton import HAND_POINTS

SIDES = (184, 368, 552, 736)
"""Sides at which the network sees every hand, pixels: OpenPose's box of 368 at 0.5, 1, 1.5 and 2."""

_SOFTENING = 0.8
_GRID = 128
"""Side at which the maps of all sizes are averaged."""
_SIGMA = 3.0
_THRESHOLD = 0.05
_NEIGHBOURS = 8


def hand_picture(crop: Pixels, side: int) -> Pixels:
    """The hand network's input from the crop of a hand's box: slightly blurred, UINT8 [side, side, 3]."""
    soft = cv2.GaussianBlur(crop, (0, 0), _SOFTENING)
    return resized(soft.astype(np.uint8, copy=False), (side, side))


def hand_points(maps: Mapping[int, NDArray[np.float32]], size: tuple[int, int]) -> NDArray[np.intp]:
    """Find the points of one hand, by the rule of controlnet_aux's Hand.

    The maps of all sizes are averaged; a point is the maximum inside the heaviest blob of the blurred map.

    Args:
        maps: side of the picture that the network saw -> FLOAT32 [22, side / 8, side / 8].
        size: (height, width) of the hand's box in the picture, pixels.

    Returns:
        INT [21, 2], x and y in the box, pixels; (0, 0) for a point that was not found.
    """
    points = np.zeros((HAND_POINTS, 2), np.intp)
    average = np.zeros((HAND_POINTS, _GRID, _GRID))
    for side, found in maps.items():
        matrix = stretch(found.shape[1], side, _GRID, shrinks=side > _GRID)
        average += matrix @ found[:HAND_POINTS].astype(np.float64) @ matrix.T / len(maps)
    blur = blurred(np.eye(_GRID), _SIGMA)
    blobs = ((blur @ average @ blur.T) > _THRESHOLD).astype(np.uint8)
    for point, (heatmap, blob) in enumerate(zip(average, blobs, strict=True)):
        if blob.any():
            y, x = np.unravel_index(_highest(heatmap, blob), heatmap.shape)
            points[point] = int(x * size[1] / _GRID), int(y * size[0] / _GRID)
    return points


def _highest(heatmap: Matrix, blob: NDArray[np.uint8]) -> np.intp:
    """Flat index of the maximum inside the heaviest of the connected blobs."""
    labels = np.asarray(cv2.connectedComponents(blob, connectivity=_NEIGHBOURS)[1])
    weights = np.bincount(labels.ravel(), heatmap.ravel())
    heaviest = 1 + np.argmax(weights[1:])
    return np.argmax(np.where(labels == heaviest, heatmap, 0))
