"""Convert between pictures of three channels and planes of one."""

import cv2
import numpy as np

from mesh.pictures import Pixels


def tripled(plane: Pixels) -> Pixels:
    """Repeat UINT8 [h, w] in three equal channels, UINT8 [h, w, 3]."""
    return cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)


def darkest(picture: Pixels) -> Pixels:
    """The darkest of each pixel's three channels: UINT8 [h, w, 3] -> UINT8 [h, w]."""
    red, green, blue = cv2.split(picture)
    return cv2.min(cv2.min(red, green), blue).astype(np.uint8, copy=False)
