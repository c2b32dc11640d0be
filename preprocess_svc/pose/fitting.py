"""The pictures that OpenPose's networks see."""

import cv2
import msgspec
import numpy as np

from families.annotators import AnnotatorCard
from families.limits import SIDE
from mesh.pictures import Pixels
from preprocess_svc.annotators import fit
from preprocess_svc.pose.resampling import STRIDE

MULTIPLE = 64
"""Sides of the picture that poses are found in, as controlnet_aux's resize_image makes them, pixels."""
LONGEST = 2048
"""Longer side of that picture, pixels: a thinner one is seen smaller, which the library does not."""
BODY_HEIGHT = 368 * 0.5
"""Height at which the body network sees every picture, pixels: OpenPose's box at the one scale of ControlNet."""
PADDING = 128


def fitted(picture: Pixels, card: AnnotatorCard, side: int) -> Pixels:
    """The picture that poses are found in and drawn on: shorter side `side`, or the card's for 0.

    Raises InvalidInput for a side out of range, as preprocess_svc.annotators.fit.
    """
    short, long = sorted(picture.shape[:2])
    most = max(int(SIDE.minimum), LONGEST * short // long)
    return fit(picture, msgspec.structs.replace(card, multiple=MULTIPLE, square=False), min(side or card.side, most))


def body_picture(picture: Pixels) -> tuple[Pixels, tuple[int, int]]:
    """The picture for the body network, 184 px high and padded with grey at its right and lower edge to multiples of 8.

    Returns:
        It, UINT8 [h, w, 3], and the (height, width) of it that is no padding.
    """
    scale = BODY_HEIGHT / picture.shape[0]
    # Rounded down, in floating point as the library: some heights become 183.
    height, width = (max(1, int(side * scale)) for side in picture.shape[:2])
    small = resized(picture, (width, height))
    padded = cv2.copyMakeBorder(
        small, 0, -height % STRIDE, 0, -width % STRIDE, cv2.BORDER_CONSTANT, value=(PADDING, PADDING, PADDING)
    )
    return padded.astype(np.uint8, copy=False), (height, width)


def resized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """UINT8 [h, w, 3] at (width, height): the mean of the area when it shrinks, Lanczos when it grows."""
    shrinks = sum(size) < sum(picture.shape[:2])
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    return cv2.resize(picture, size, interpolation=interpolation).astype(np.uint8, copy=False)
