"""Where a person's hands and face are, guessed from the body's points; OpenPose's handDetector.cpp and ControlNet."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mesh.pictures import Pixels
from preprocess_svc.pose import skeleton

_BEYOND_WRIST = 0.33
"""Of the forearm's length: how far beyond the wrist the hand's middle is."""
_FOREARM, _UPPER_ARM = 1.5, 1.5 * 0.9
"""Side of a hand's box by the length of either."""
_SMALLEST = 20
"""Side of the smallest box looked into, pixels."""
_EYE, _EAR = 3.0, 1.5
"""Half side of a face's box by the distance of either from the nose."""

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
    """A square of a picture: its left upper corner and its side, pixels. It may reach over the right and lower edge."""

    x: int
    y: int
    side: int

    def cut(self, picture: Pixels) -> Pixels:
        """The part of the picture that it covers, a view."""
        return picture[self.y : self.y + self.side, self.x : self.x + self.side]


def hand_boxes(points: NDArray[np.float64], size: tuple[int, int]) -> dict[str, Box]:
    """Where the hands are: "left" and "right", as far as the arm was found and the box is not too small.

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
    """Where the face is; None if the nose or all of eyes and ears were not found, or the box is too small.

    Args: as `hand_boxes`.
    """
    nose = points[skeleton.NOSE]
    reach = [float(np.abs(points[part] - nose).max()) * factor for part, factor in _BY_THE_NOSE]
    half = np.nanmax(reach) if np.isfinite(reach).any() else np.nan
    return _inside(nose - half, half, 2 * half, size)


def _inside(corner: NDArray[np.float64], reach: float, side: float, size: tuple[int, int]) -> Box | None:
    """The box at `corner`, moved in at the left and upper edge; narrower where what lies `reach` away is outside."""
    if not (np.isfinite(corner).all() and np.isfinite(side)):
        return None
    corner = np.maximum(corner, 0)
    sides = [goal - at if at + reach > goal else side for at, goal in zip(corner, reversed(size), strict=True)]
    shortest = min(sides)
    return Box(int(corner[0]), int(corner[1]), int(shortest)) if shortest >= _SMALLEST else None
