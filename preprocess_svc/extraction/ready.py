"""Ready hints: what a caller's own map must look like, recognised and put right where that is certain."""

from dataclasses import dataclass
from enum import Enum, auto

import cv2
import numpy as np

from mesh.pictures import Pixels, resize
from preprocess_svc.extraction.channels import tripled

# Grey levels. Channels this far apart are noise of a lossy file, not a colour.
_COLOUR_NOISE = 16
# A ground up to _DARK is black for our purposes, from 255 - _DARK on white; in between it says nothing.
_DARK = 95
# Pixels this far from the ground are marks on it.
_MARK = 32
# Of the frame, shares: a drawing's ground shows there, unless its marks are few and a frame may be one of them.
_FRAME_OF_GROUND, _FEW_MARKS = 2 / 3, 0.2
# Of the shorter side: how far a stroke's middle may lie from its border; what is thicker is an area.
_HALF_STROKE = 1 / 12
# Of the shorter side: width of the frame.
_FRAME = 1 / 32
# Of all pixels: what a dark ground must fill to be one, and what is black on a map of strokes at least.
_GROUND, _BLACK = 0.5, 1 / 3


class Looks(Enum):
    """What a map of strokes looks like."""

    RIGHT = auto()
    """Light on dark, or empty."""
    INVERTED = auto()
    """Dark strokes on a light ground, beyond doubt."""
    UNLIKE = auto()
    """Neither: a photo, dark areas, a grey ground."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What a kind's ready hints look like.

    Args:
        grey: its three channels are equal.
        light_on_dark: its strokes are light on a dark ground, and most of it is ground.
        flat: its colours have meanings of their own, so that none may arise between two.
    """

    grey: bool = False
    light_on_dark: bool = False
    flat: bool = False

    def fit(self, hint: Pixels, size: tuple[int, int]) -> Pixels:
        """The hint UINT8 [h, w, 3] at (width, height).

        Lanczos, as diffusers fits control images: thin lines that shrink turn fainter, where the nearest pixel would
        break them. Flat ones by the nearest pixel: Lanczos would make colours of no class at every border.
        """
        if not self.flat or hint.shape[1::-1] == size:
            return resize(hint, *size)
        # INTER_NEAREST_EXACT takes the pixel under each new one's middle; INTER_NEAREST shifts by half a pixel.
        return cv2.resize(hint, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8, copy=False)

    def put_right(self, kind: str, hint: Pixels) -> tuple[Pixels, tuple[str, ...]]:
        """The hint as the ControlNet wants it, UINT8 [h, w, 3], and remarks on what was changed or looks wrong.

        Where `grey`, unequal channels give way to their luma (ITU-R 601-2); with a remark where they are more than 16
        levels apart anywhere, since colour noise of lossy files is less. Where `light_on_dark`, a drawing of dark
        strokes on a light ground is inverted, with a remark; see `looks` for what counts as one. All else stays.
        """
        if not self.grey:
            return hint, ()
        remarks: list[str] = []
        apart = _spread(hint)
        luma = cv2.cvtColor(hint, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False) if apart else hint[..., 0]
        if apart > _COLOUR_NOISE:
            remarks.append(f"the hint is in colour and a {kind} hint is grey: its brightness was taken")
        look = looks(luma) if self.light_on_dark else Looks.RIGHT
        if look is Looks.INVERTED:
            remarks.append(f"the hint is dark on a light ground and a {kind} hint is light on dark: it was inverted")
            return tripled(np.subtract(255, luma)), tuple(remarks)
        if look is Looks.UNLIKE:
            remarks.append(
                f"the hint was taken as it is and doesn't look like a {kind} hint, which is light strokes on a dark "
                "ground; to extract one from a picture turn auto_hint on"
            )
        return tripled(luma) if apart else hint, tuple(remarks)


def looks(luma: Pixels) -> Looks:
    """What a map of strokes UINT8 [h, w] looks like.

    The ground is the median level; marks are what lies more than 32 levels from it.

    RIGHT: the ground is at most 95; half of the map is free of marks, or a third of it is at most 32.

    INVERTED: the ground is at least 160; there are marks, on half of the map at most, more of them darker than
    lighter; no mark holds a disc wider than a sixth of the shorter side, which makes it an area, such as a silhouette,
    a photo's subject or the black that thick white strokes leave; and two thirds of the outermost 1/32 are ground, or
    the marks are a fifth of the map at most, for then a frame may be one of them.

    UNLIKE: everything else. What is certain from the map alone is only that: blots that `scribble` leaves of a dark
    photo have the looks of a drawing that is dark on light, and are taken for one.
    """
    levels = np.bincount(luma.ravel(), minlength=256) / luma.size
    ground = int(np.searchsorted(levels.cumsum(), 0.5))
    darker, lighter = levels[: max(0, ground - _MARK)].sum(), levels[ground + _MARK + 1 :].sum()
    marked = darker + lighter
    if ground <= _DARK:
        like = marked <= 1 - _GROUND or levels[: _MARK + 1].sum() >= _BLACK
        return Looks.RIGHT if like else Looks.UNLIKE
    if ground < 255 - _DARK or lighter >= darker or marked > 1 - _GROUND:
        return Looks.UNLIKE
    marks = ((luma < ground - _MARK) | (luma > ground + _MARK)).view(np.uint8)
    shorter = min(luma.shape)
    if marked > _FEW_MARKS and _frame(marks, max(1, round(shorter * _FRAME))) > 1 - _FRAME_OF_GROUND:
        return Looks.UNLIKE
    # Past the border lies ground: a stroke along it is no thicker than what is seen of it.
    ringed = cv2.copyMakeBorder(marks, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    thickest = cv2.distanceTransform(ringed, cv2.DIST_L2, cv2.DIST_MASK_3).max()
    return Looks.INVERTED if thickest <= max(1.0, shorter * _HALF_STROKE) else Looks.UNLIKE


def _frame(marks: Pixels, width: int) -> float:
    """Share of the outermost `width` pixels of `marks` that are set."""
    inner = marks[width:-width, width:-width]
    return (np.count_nonzero(marks) - np.count_nonzero(inner)) / max(1, marks.size - inner.size)


def _spread(hint: Pixels) -> int:
    """Greatest distance between channels at any pixel, grey levels."""
    red, green, blue = cv2.split(hint)
    apart = cv2.max(cv2.absdiff(red, green), cv2.max(cv2.absdiff(green, blue), cv2.absdiff(red, blue)))
    return int(apart.max())
