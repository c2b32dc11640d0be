"""How much darker a pixel is than its surroundings: finds thin dark strokes and ignores flat areas."""

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.pictures import Pixels


def darkness(picture: Pixels, outer: float, inner: float = 0.0) -> NDArray[np.float32]:
    """Difference of Gaussians, wide minus narrow, in the channel where it is least.

    Args:
        picture: UINT8 [h, w, 3].
        outer: standard deviation of the wide blur, pixels.
        inner: standard deviation of the narrow blur, pixels; 0 for none.

    Returns:
        FLOAT32 [h, w], -255 to 255 grey levels; positive where all three channels are darker than the surroundings.
    """
    least = np.full(picture.shape[:2], np.inf, np.float32)
    # One channel at a time: as floats, all three with their blurs would take nine times the picture's memory.
    for channel in cv2.split(picture):
        plane = channel.astype(np.float32)
        wide = cv2.GaussianBlur(plane, (0, 0), outer)
        narrow = cv2.GaussianBlur(plane, (0, 0), inner) if inner else plane
        cv2.min(least, cv2.subtract(wide, narrow, wide), least)
    return least
