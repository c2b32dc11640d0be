"""The client of annotators: fit the picture to the model, then have Triton find the maps."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from families.annotators import HEADS, AnnotatorCard, best
from families.limits import Range
from mesh.errors import InvalidInput
from mesh.pictures import Pixels
from mesh.soundness import not_finite, sound
from mesh.triton import Triton

Map = NDArray[np.generic]

SIDES = Range(64, 1024)
"""Shorter side of an annotator's picture, pixels, that a request may ask for."""
LONGEST = 2048
"""Longest side of an annotator's picture, pixels, so that a long thin picture does not cost more than a square one."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an annotator found in a picture.

    Attributes:
        maps: output name -> map without batch dimension, read-only; see families.annotators.HEADS.
        picture: what the annotator saw, UINT8 [h, w, 3].
        card: the annotator's card.
    """

    maps: dict[str, Map]
    picture: Pixels
    card: AnnotatorCard


class Annotators:
    """The annotators that are loaded.

    Args:
        cards: of the repository; if several serve a head, the more specialised one is used.
        triton: client of the model server; None where there are no annotators.
    """

    def __init__(self, cards: Iterable[AnnotatorCard] = (), triton: Triton | None = None) -> None:
        self._best = best(cards)
        self._triton = triton

    def card(self, head: str) -> AnnotatorCard | None:
        """The annotator that serves `head`, if one is loaded."""
        return self._best.get(head)

    async def see(self, head: str, picture: Pixels, side: float = 0) -> Seen:
        """Find `head` in a picture.

        Args:
            head: what to find; an annotator for it must be loaded.
            picture: UINT8 [h, w, 3].
            side: shorter side in pixels at which the annotator sees it; 0 for the annotator's default.

        Raises:
            InvalidInput: `side` is out of range.
            InternalError: the maps are not finite.
            MeshError: the model server fails, as Triton.infer.
        """
        card = self._best[head]
        fitted = await asyncio.to_thread(fit, picture, card, int(side))
        return await self.infer(head, fitted)

    async def infer(self, head: str, fitted: Pixels) -> Seen:
        """Like `see`, for a picture that already has the right size, such as a crop."""
        card = self._best[head]
        if self._triton is None:
            raise RuntimeError("annotators need a model server")
        outputs = [tensor.name for tensor in HEADS[head]]
        ask = partial(self._triton.infer, card.heads[head], {"image": fitted[None]}, outputs)
        found = await sound(ask, not_finite("the annotator's maps", "send another picture, or a ready hint"))
        return Seen({name: array[0] for name, array in found.items()}, fitted, card)


def fit(picture: Pixels, card: AnnotatorCard, side: int = 0) -> Pixels:
    """Resize a picture for an annotator: shorter side `side`, each side a multiple of the card's `multiple`.

    The rule of the ControlNet annotators' `resize_image`, with the annotator's own multiple: Lanczos to enlarge, the
    mean of the area to shrink. The longer side is at most LONGEST; the proportions are kept. Raises InvalidInput for
    a side out of range.
    """
    if side and not SIDES.holds(side):
        raise InvalidInput(
            f"detect_resolution must be 0 or {SIDES}, not {side}",
            field="parameters.detect_resolution",
        )
    goal = side or card.side
    height, width = picture.shape[:2]
    factor = min(goal / min(height, width), max(LONGEST, goal) / max(height, width))
    size = (card.side, card.side) if card.square else _sides((width, height), factor, card.multiple)
    if size == (width, height):
        return picture
    grows = factor > 1
    return cv2.resize(picture, size, interpolation=cv2.INTER_LANCZOS4 if grows else cv2.INTER_AREA).astype(
        np.uint8, copy=False
    )


def _sides(sides: Sequence[int], factor: float, multiple: int) -> tuple[int, int]:
    width, height = (max(multiple, round(side * factor / multiple) * multiple) for side in sides)
    return width, height
