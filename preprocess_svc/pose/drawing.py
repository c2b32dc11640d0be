"""Draw skeletons as ControlNet's annotator does: coloured bodies, hands and faces on black."""

import colorsys
import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.pictures import Pixels
from preprocess_svc.pose.skeleton import COLOURS, DRAWN_LIMBS, FINGERS, LIMBS

_STICK, _LIMB_SHADE = 4, 0.6
_JOINT_RADIUS, _FACE_RADIUS = 4, 3
_FINGER_THICKNESS = 2
_HAND_JOINT, _FACE_POINT = (0, 0, 255), (255, 255, 255)
_FINGER_COLOURS = tuple(
    tuple(255 * channel for channel in colorsys.hsv_to_rgb(index / len(FINGERS), 1.0, 1.0))
    for index in range(len(FINGERS))
)


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """What to draw of one person. Coordinates are shares of the picture's width and height, 0 to 1.

    Attributes:
        body: FLOAT64 [18, 2], x and y; NaN where a part was not found; None for no body.
        hands: FLOAT32 [21, 2] each; below 0 where a point was not found.
        face: FLOAT32 [n, 2], or None.
    """

    body: NDArray[np.float64] | None = None
    hands: tuple[NDArray[np.float32], ...] = ()
    face: NDArray[np.float32] | None = None


def draw(poses: Iterable[Pose], size: tuple[int, int]) -> Pixels:
    """Draw the poses on black, one over the other.

    Args:
        poses: in drawing order.
        size: (height, width) of the drawing, pixels; limbs are 8 pixels wide at any size.

    Returns:
        UINT8 [height, width, 3], RGB.
    """
    canvas = np.zeros((*size, 3), np.uint8)
    for pose in poses:
        if pose.body is not None:
            _draw_body(canvas, pose.body)
        for hand in pose.hands:
            _draw_hand(canvas, hand)
        if pose.face is not None:
            for x, y in _places(pose.face, canvas):
                if x > 0 and y > 0:
                    cv2.circle(canvas, (x, y), _FACE_RADIUS, _FACE_POINT, thickness=cv2.FILLED)
    return canvas


def _draw_body(canvas: Pixels, body: NDArray[np.float64]) -> None:
    height, width = canvas.shape[:2]
    points = body * (width, height)
    for (first, second), colour in zip(LIMBS[:DRAWN_LIMBS], COLOURS, strict=False):
        if np.isnan(points[[first, second]]).any():
            continue
        x, y = points[[first, second]].mean(0)
        run, rise = points[first] - points[second]
        outline = cv2.ellipse2Poly(
            (int(x), int(y)),
            (int((rise**2 + run**2) ** 0.5 / 2), _STICK),
            int(math.degrees(math.atan2(rise, run))),
            0,
            360,
            1,
        )
        cv2.fillConvexPoly(canvas, np.array(outline), [int(_LIMB_SHADE * channel) for channel in colour])
    for point, colour in zip(points, COLOURS, strict=True):
        if not np.isnan(point).any():
            cv2.circle(canvas, (int(point[0]), int(point[1])), _JOINT_RADIUS, colour, thickness=cv2.FILLED)


def _draw_hand(canvas: Pixels, hand: NDArray[np.float32]) -> None:
    places = _places(hand, canvas)
    for (first, second), colour in zip(FINGERS, _FINGER_COLOURS, strict=True):
        if min(*places[first], *places[second]) > 0:
            cv2.line(canvas, places[first], places[second], colour, thickness=_FINGER_THICKNESS)
    for place in places:
        if min(place) > 0:
            cv2.circle(canvas, place, _JOINT_RADIUS, _HAND_JOINT, thickness=cv2.FILLED)


def _places(points: NDArray[np.float32], canvas: Pixels) -> list[tuple[int, int]]:
    """Convert shares to pixels, rounded towards 0; 0 or less means not found, or on the edge."""
    height, width = canvas.shape[:2]
    return [(int(x), int(y)) for x, y in points * np.array([width, height], np.float32)]
