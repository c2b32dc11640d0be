"""The input pictures of the gallery. They are drawn here, so no one else has rights in them."""

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from demo.render import render
from demo.scene import Scene, Solid
from mesh.pictures import Pixels

SIZE = 256
_SCENE = Scene(
    ground="purple",
    ground_end=None,
    style="plain",
    solids=(Solid("star", "yellow", 44.0, 46.0, 31.0, 0.15), Solid("circle", "green", 93.0, 88.0, 25.0, 0.0)),
    light=(-0.4, -0.6),
    tilt=0.2,
    period=16.0,
    phase=3.0,
    rising=True,
)
_PATTERNED = replace(
    _SCENE,
    ground="blue",
    style="striped",
    solids=(Solid("ring", "orange", 64.0, 64.0, 40.0, 0.0),),
)
_STILL_LIFE = replace(
    _SCENE,
    ground="white",
    ground_end="cyan",
    style="gradient",
    solids=(Solid("square", "red", 42.0, 84.0, 28.0, 0.3), Solid("cross", "black", 92.0, 44.0, 25.0, -0.3)),
    light=(0.5, -0.7),
)


@dataclass(frozen=True, slots=True)
class Input:
    """One picture and the prompts for its hints.

    Attributes:
        name: shown in the gallery.
        picture: UINT8 [SIZE, SIZE, 3].
        prompt: names the picture's shapes in other colours, so that the effects of the hint and of the prompt can be
            told apart.
        hidden: (x, y, radius) in pixels of the disc to repaint, for kinds that use a mask.
        repainted: the prompt for those kinds: the picture as it is, with something else in the disc.
    """

    name: str
    picture: Pixels
    prompt: str
    hidden: tuple[int, int, int]
    repainted: str

    @property
    def mask(self) -> Pixels:
        """`hidden` in white on black, UINT8 [SIZE, SIZE, 3]."""
        x, y, radius = self.hidden
        return cv2.circle(np.zeros_like(self.picture), (x, y), radius, (255, 255, 255), -1)


@cache
def inputs() -> tuple[Input, ...]:
    """Four pictures: two renders, a line drawing of the first, and one with the defects of a photo."""
    scene = render(_SCENE, SIZE).image
    return (
        Input(
            "render",
            scene,
            "a red star and a white circle on a black background",
            (88, 92, 72),
            "a red triangle and a green circle on a purple background",
        ),
        Input(
            "stripes",
            render(_PATTERNED, SIZE).image,
            "a yellow ring on a green background",
            (128, 128, 92),
            "a red cross on a blue striped background",
        ),
        Input(
            "drawing",
            drawing(scene),
            "a red star and a white circle on a black background",
            (88, 92, 72),
            "a black star on a white background",
        ),
        Input(
            "photo",
            photo(render(_STILL_LIFE, SIZE).image),
            "a green square and a yellow cross on a blue background",
            (184, 88, 66),
            "a red square and a yellow circle on a white to cyan gradient background",
        ),
    )


def drawing(picture: Pixels) -> Pixels:
    """Draw dark strokes on white along the edges of a picture UINT8 [h, w, 3]."""
    outlines = cv2.dilate(cv2.Canny(cv2.GaussianBlur(picture, (0, 0), 1.5), 60, 140), np.ones((3, 3), np.uint8))
    ink = cv2.GaussianBlur(255 - outlines, (0, 0), 0.7)
    return np.repeat(np.asarray(ink, np.uint8)[..., None], 3, axis=2)


def photo(picture: Pixels) -> Pixels:
    """Make a picture UINT8 [h, w, 3] look like a photo: texture, uneven light, vignetting, blur and grain."""
    height, width = picture.shape[:2]
    random = np.random.default_rng(11)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    weave = 6 * np.sin(x * 0.9) * np.sin(y * 0.9)
    clouds = cv2.resize(random.normal(0, 14, (5, 5)), (width, height), interpolation=cv2.INTER_CUBIC)
    from_centre = np.hypot(x / width - 0.5, y / height - 0.5)
    seen = cv2.GaussianBlur(picture.astype(np.float32) + (weave + clouds)[..., None], (0, 0), 0.9)
    grain = cv2.GaussianBlur(random.normal(0, 12, picture.shape), (0, 0), 0.7)
    return np.clip(seen * (1.08 - 0.9 * from_centre**2)[..., None] + grain, 0, 255).astype(np.uint8)
