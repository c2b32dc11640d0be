"""Ready hints: check a caller's own hint, and correct it where that is certain."""

from dataclasses import dataclass
from enum import Enum, auto

import cv2
import numpy as np

from mesh.pictures import Ground, Pixels, resize
from preprocess_svc.extraction.channels import tripled

# Grey levels. Up to this far apart, channels differ by the noise of a lossy file, not by colour.
_COLOUR_NOISE = 16
# A background up to _DARK counts as black, one from 255 - _DARK on as white; between them nothing is certain.
_DARK = 95
# Pixels further than this from the background are marks on it.
_MARK = 32
# Shares of the frame: a drawing's background shows there, unless its marks are few and a frame may be one of them.
_FRAME_OF_GROUND, _FEW_MARKS = 2 / 3, 0.2
# Share of the shorter side: how far a stroke's middle may be from its border; anything thicker is an area.
_HALF_STROKE = 1 / 12
# Share of the shorter side: width of the frame.
_FRAME = 1 / 32
# Shares of all pixels: the least that a dark background fills, and the least that is black in a hint of strokes.
_GROUND, _BLACK = 0.5, 1 / 3


class Looks(Enum):
    """What a hint of strokes looks like."""

    RIGHT = auto()
    """Light on dark, or empty."""
    INVERTED = auto()
    """Dark strokes on a light background, beyond doubt."""
    UNLIKE = auto()
    """Neither: a photo, dark areas, a grey background."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What a kind's ready hints look like.

    Args:
        grey: the three channels are equal.
        light_on_dark: the strokes are light on a dark background, and most of the hint is background.
        flat: each colour has a meaning, so resizing must not mix them.
        on_black: they are drawn on black, so that is what their transparent parts are.
        drawn: they consist of marks on a dark ground, and without marks say nothing.
        colours: what the colours mean, a sentence for those who sent a grey hint; empty if grey ones are fine.
    """

    grey: bool = False
    light_on_dark: bool = False
    flat: bool = False
    on_black: bool = False
    drawn: bool = False
    colours: str = ""

    @property
    def ground(self) -> Ground:
        """What lies under transparent parts of a ready hint."""
        if self.light_on_dark:
            return Ground.STROKES
        return Ground.BLACK if self.on_black else Ground.WHITE

    @property
    def marks(self) -> bool:
        """Whether a hint without marks, or of nothing but marks, says nothing."""
        return self.light_on_dark or self.drawn

    @property
    def flat_says_nothing(self) -> bool:
        """Whether a hint of one colour says nothing: it is a map, not a picture."""
        return self.on_black or self.flat

    def fit(self, hint: Pixels, size: tuple[int, int]) -> Pixels:
        """Resize the hint UINT8 [h, w, 3] to (width, height).

        Lanczos, as diffusers resizes control images: thin lines become fainter when they shrink; the nearest pixel
        would break them. Flat hints by the nearest pixel: Lanczos would create colours of no class at every border.
        """
        if not self.flat or hint.shape[1::-1] == size:
            return resize(hint, *size)
        # INTER_NEAREST_EXACT uses the pixel under each new pixel's middle; INTER_NEAREST shifts by half a pixel.
        return cv2.resize(hint, size, interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8, copy=False)

    def put_right(self, kind: str, hint: Pixels) -> tuple[Pixels, tuple[str, ...]]:
        """Correct the hint for the ControlNet: UINT8 [h, w, 3], with notes on what was changed or looks wrong.

        If `grey`, unequal channels are replaced by their luma (ITU-R 601-2), with a note if they are over 16 levels
        apart anywhere, since colour noise of lossy files is less. If `light_on_dark`, a drawing of dark strokes on a
        light background is inverted, with a note; see `looks` for what counts as one. Nothing else changes.
        """
        if not self.grey:
            return hint, ()
        notes: list[str] = []
        apart = _spread(hint)
        luma = cv2.cvtColor(hint, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False) if apart else hint[..., 0]
        if apart > _COLOUR_NOISE:
            notes.append(f"the hint is in colour but hints for {kind} are grey: only its brightness was used")
        look = looks(luma) if self.light_on_dark else Looks.RIGHT
        if look is Looks.INVERTED:
            notes.append(f"the hint is dark on light but hints for {kind} are light on dark: it was inverted")
            return tripled(np.subtract(255, luma)), tuple(notes)
        if look is Looks.UNLIKE:
            notes.append(
                f"the hint was used as it is but doesn't look like one for {kind}, which is light strokes on a dark "
                "background; to extract a hint from a picture, turn auto_hint on"
            )
        return tripled(luma) if apart else hint, tuple(notes)


def looks(luma: Pixels) -> Looks:
    """Classify a hint of strokes UINT8 [h, w].

    The background is the median level; marks are the pixels more than 32 levels from it.

    RIGHT: the background is at most 95; half of the hint is free of marks, or a third of it is at most 32.

    INVERTED: the background is at least 160; there are marks, on at most half of the hint, more of them darker than
    lighter; no mark contains a disc wider than a sixth of the shorter side, which would make it an area, such as a
    silhouette, a photo's subject or the black between thick white strokes; and two thirds of the outermost 1/32 are
    background, or the marks are at most a fifth of the hint, because then a frame may be one of them.

    UNLIKE: everything else. The hint alone does not tell more: blots that `scribble` makes of a dark photo look like a
    drawing that is dark on light, and are treated as one.
    """
    levels = np.bincount(luma.ravel(), minlength=256) / luma.size
    background = int(np.searchsorted(levels.cumsum(), 0.5))
    darker, lighter = levels[: max(0, background - _MARK)].sum(), levels[background + _MARK + 1 :].sum()
    marked = darker + lighter
    if background <= _DARK:
        like = marked <= 1 - _GROUND or levels[: _MARK + 1].sum() >= _BLACK
        return Looks.RIGHT if like else Looks.UNLIKE
    if background < 255 - _DARK or lighter >= darker or marked > 1 - _GROUND:
        return Looks.UNLIKE
    marks = ((luma < background - _MARK) | (luma > background + _MARK)).view(np.uint8)
    shorter = min(luma.shape)
    if marked > _FEW_MARKS and _frame(marks, max(1, round(shorter * _FRAME))) > 1 - _FRAME_OF_GROUND:
        return Looks.UNLIKE
    # Beyond the border is background: a stroke along it is no thicker than its visible part.
    ringed = cv2.copyMakeBorder(marks, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    thickest = cv2.distanceTransform(ringed, cv2.DIST_L2, cv2.DIST_MASK_3).max()
    return Looks.INVERTED if thickest <= max(1.0, shorter * _HALF_STROKE) else Looks.UNLIKE


def _frame(marks: Pixels, width: int) -> float:
    """Share of the outermost `width` pixels of `marks` that are set."""
    inner = marks[width:-width, width:-width]
    return (np.count_nonzero(marks) - np.count_nonzero(inner)) / max(1, marks.size - inner.size)


def _spread(hint: Pixels) -> int:
    """Largest difference between channels at any pixel, grey levels."""
    red, green, blue = cv2.split(hint)
    apart = cv2.max(cv2.absdiff(red, green), cv2.max(cv2.absdiff(green, blue), cv2.absdiff(red, blue)))
    return int(apart.max())
