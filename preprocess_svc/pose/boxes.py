"""Estimate where hands and face are from the body's points, as OpenPose's handDetector.cpp and ControlNet do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mesh.pictures import Pixels
from preprocess_svc.pose import skeleton

_BEYOND_WRIST = 0.33
"""How far beyond the wrist the hand's middle is, as a share of the forearm."""
_FOREARM, _UPPER_ARM = 1.5, 1.5 * 0.9
"""Side of a hand's box, as a multiple of the forearm's and of the upper arm's length."""
_SMALLEST = 20
"""Side of the smallest box that is searched, pixels."""
_EYE, _EAR = 3.0, 1.5
"""Half the side of a face's box, as a multiple of the distance from the nose to an eye and to an ear."""

_ARMS = {
    "left": (skeleton.LEFT_SHOULDER, skeleton.LEFT_ELBOW, skeleton.LEFT_WRIST),
    "right": (skeleton.RIGHT_SHOULDER, skeleton.RIGHT_ELBOW, skeleton.RIGHT_WRIST),
}
_BY_THE_NOSE = (
    (skeleton.RIGHT_EYE, _EYE),
    (skeleton.LEFT_EYE, _EYE),
    (skeleton.RIGHT_EAR, _EAR),
    (skeleton.LEFT_EAR, _EAR),
)


@dataclass(frozen=True, slots=True)
class Box:
    """A square of a picture: its upper left corner and its side, pixels. It may exceed the right and lower edges."""

    x: int
    y: int
    side: int

    def cut(self, picture: Pixels) -> Pixels:
        """The part of the picture that it covers, as a view."""
        return picture[self.y : self.y + self.side, self.x : self.x + self.side]


def hand_boxes(points: NDArray[np.float64], size: tuple[int, int]) -> dict[str, Box]:
    """The boxes of the hands, "left" and "right", if the arm was found and the box is not too small.

    Args:
        points: of a person; see preprocess_svc.pose.body.Person.
        size: (height, width) of the picture, pixels.
    """
    boxes = {}
    for name, arm in _ARMS.items():
        shoulder, elbow, wrist = points[list(arm)]
        forearm, upper_arm = np.hypot(*(wrist - elbow)), np.hypot(*(elbow - shoulder))
        side = max(_FOREARM * forearm, _UPPER_ARM * upper_arm)
        middle = wrist + _BEYOND_WRIST * (wrist - elbow)
        box = _inside(middle - side / 2, side, side, size)
        if box is not None:
            boxes[name] = box
    return boxes


def face_box(points: NDArray[np.float64], size: tuple[int, int]) -> Box | None:
    """The box of the face; None if the nose, or all eyes and ears, were not found, or the box is too small.

    Args: as `hand_boxes`.
    """
    nose = points[skeleton.NOSE]
    reach = [float(np.abs(points[part] - nose).max()) * factor for part, factor in _BY_THE_NOSE]
    half = np.nanmax(reach) if np.isfinite(reach).any() else np.nan
    return _inside(nose - half, half, 2 * half, size)


def _inside(corner: NDArray[np.float64], reach: float, side: float, size: tuple[int, int]) -> Box | None:
    """The box at `corner`, moved inside at the left and upper edge; smaller if a point `reach` away is outside."""
    if not (np.isfinite(corner).all() and np.isfinite(side)):
        return None
    corner = np.maximum(corner, 0)
    sides = [goal - at if at + reach > goal else side for at, goal in zip(corner, reversed(size), strict=True)]
    shortest = min(sides)
    return Box(int(corner[0]), int(corner[1]), int(shortest)) if shortest >= _SMALLEST else None
