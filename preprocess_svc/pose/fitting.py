"""Prepare the pictures for OpenPose's networks."""

import cv2
import msgspec
import numpy as np

from families.annotators import AnnotatorCard
from families.limits import SIDE
from mesh.pictures import Pixels
from preprocess_svc.annotators import fit
from preprocess_svc.pose.resampling import STRIDE

MULTIPLE = 64
"""The sides of the picture in which poses are found are multiples of this, as in controlnet_aux's resize_image."""
LONGEST = 2048
"""Most pixels of that picture's longer side; a long thin picture is shrunk, which the library does not do."""
BODY_HEIGHT = 368 * 0.5
"""Height at which the body network sees every picture, pixels: OpenPose's box at ControlNet's only scale."""
PADDING = 128


def fitted(picture: Pixels, card: AnnotatorCard, side: int) -> Pixels:
    """Resize a picture to find and draw poses: shorter side `side`, or the card's for 0.

    Raises InvalidInput for a side out of range, as preprocess_svc.annotators.fit.
    """
    short, long = sorted(picture.shape[:2])
    most = max(int(SIDE.minimum), LONGEST * short // long)
    return fit(picture, msgspec.structs.replace(card, multiple=MULTIPLE, square=False), min(side or card.side, most))


def body_picture(picture: Pixels) -> tuple[Pixels, tuple[int, int]]:
    """The body network's input: 184 px high, padded with grey at the right and lower edge to multiples of 8.

    Returns:
        The picture, UINT8 [h, w, 3], and its (height, width) without the padding.
    """
    scale = BODY_HEIGHT / picture.shape[0]
    # Rounded down in floating point, like the library: some heights become 183.
    height, width = (max(1, int(side * scale)) for side in picture.shape[:2])
    small = resized(picture, (width, height))
    padded = cv2.copyMakeBorder(
        small, 0, -height % STRIDE, 0, -width % STRIDE, cv2.BORDER_CONSTANT, value=(PADDING, PADDING, PADDING)
    )
    return padded.astype(np.uint8, copy=False), (height, width)


def resized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize UINT8 [h, w, 3] to (width, height): the mean of the area to shrink, Lanczos to enlarge."""
    shrinks = sum(size) < sum(picture.shape[:2])
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    return cv2.resize(picture, size, interpolation=interpolation).astype(np.uint8, copy=False)
