"""Turn annotators' maps into hints: the steps that all kinds share."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from mesh.errors import InternalError
from mesh.pictures import Pixels
from preprocess_svc.annotators import Annotators, Seen

Plane = NDArray[np.float32]
Drawing = Callable[[Seen, tuple[int, int], Mapping[str, float]], Pixels]
"""(what was found, (width, height) of the hint in pixels, every parameter by name) -> hint UINT8 [height, width, 3]."""


def drawn(head: str, draw: Drawing) -> Callable[[Pixels, Mapping[str, float], Annotators], Awaitable[Pixels]]:
    """Make a Learned extractor's `annotate`: find `head` at `detect_resolution`, then `draw` the hint in a thread.

    Raises:
        InternalError: the annotator's maps have values that are not finite numbers.
        MeshError: as Annotators.see.
    """

    async def annotate(picture: Pixels, parameters: Mapping[str, float], annotators: Annotators) -> Pixels:
        height, width = picture.shape[:2]
        seen = await annotators.see(head, picture, parameters["detect_resolution"])
        return await asyncio.to_thread(draw, seen, (width, height), parameters)

    return annotate


def failed(seen: Seen, why: str) -> InternalError:
    """The error for an annotator's own fault."""
    return InternalError(f"annotator {seen.card.name!r} failed on this picture: {why}; export it again or remove it")


def numbers(seen: Seen, name: str) -> Plane:
    """The map `name`, FLOAT32, read-only. Raises InternalError if any value is infinite or NaN."""
    found: Plane = seen.maps[name].astype(np.float32, copy=False)
    # Both are NaN if any value is.
    if not (np.isfinite(found.min()) and np.isfinite(found.max())):
        raise failed(seen, f"its {name} map has values that are infinite or NaN")
    return found


def grey_levels(shares: NDArray[np.floating]) -> Pixels:
    """Convert 0 to 1 to UINT8 0 to 255, rounded down as the ControlNet annotators do."""
    levels = shares * np.float32(255)
    return np.clip(levels, 0, 255, out=levels).astype(np.uint8)


def resized(hint: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize a hint of one or three channels to (width, height), by linear interpolation."""
    return cv2.resize(hint, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
