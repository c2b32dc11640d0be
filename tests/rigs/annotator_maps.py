"""Annotators whose maps a test writes itself: no model, no server."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from families.annotators import AnnotatorCard
from families.manifest import GraphFacts
from mesh.pictures import Pixels
from preprocess_svc.annotators import Annotators, Seen


def card(heads: Sequence[str], palette: Sequence[tuple[int, int, int]] = ((0, 0, 0),)) -> AnnotatorCard:
    """An annotator named `handmade` that serves `heads` with one graph."""
    return AnnotatorCard(
        name="handmade",
        architecture="handmade",
        description="What a test wrote.",
        heads=dict.fromkeys(heads, "annotator_handmade"),
        side=64,
        multiple=1,
        palette=tuple(palette),
        graphs={"annotator_handmade": GraphFacts(sha256="", bytes=0, max_abs_error=0)},
        source="handmade",
        versions={},
        fingerprint="",
        target="cpu",
    )


class HandMade(Annotators):
    """Sees in every picture what it was made with.

    Args:
        maps: head -> output name -> map.
        size: (width, height) at which it sees pictures; None for their own.
        palette: of its card.

    Attributes:
        asked: (head, side) of every picture that it saw.
    """

    def __init__(
        self,
        maps: Mapping[str, Mapping[str, np.ndarray]],
        size: tuple[int, int] | None = None,
        palette: Sequence[tuple[int, int, int]] = ((0, 0, 0),),
    ) -> None:
        super().__init__([card(list(maps), palette)])
        self._maps, self._size = maps, size
        self.asked: list[tuple[str, float]] = []

    async def see(self, head: str, picture: Pixels, side: float = 0) -> Seen:
        self.asked.append((head, side))
        fitted = picture if self._size is None else cv2.resize(picture, self._size)
        served = self.card(head)
        assert served is not None
        # Read-only as Triton's answers are.
        found = {name: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape) for name, a in self._maps[head].items()}
        return Seen(found, fitted, served)
