"""Hints without a service: what tests call where no annotator is needed."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from mesh.pictures import Pixels
from preprocess_svc import hints
from preprocess_svc.annotators import Annotators
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Algorithm, Extractor
from preprocess_svc.hints import MadeHint, Wish

NO_ANNOTATORS = Annotators()


def made(wish: Wish, size: tuple[int, int], at: str = "control", *, shared_mask: Pixels | None = None) -> MadeHint:
    """The hint, made in a thread with a loop of its own: callers may have one running."""
    with ThreadPoolExecutor(1) as pool:
        work = hints.make_hint(wish, size, NO_ANNOTATORS, at, shared_mask=shared_mask)
        return pool.submit(asyncio.run, work).result()


def make_hint(
    kind: str,
    content: bytes,
    auto_hint: bool,
    parameters: Mapping[str, float],
    size: tuple[int, int],
    at: str = "control",
    *,
    mask: bytes | None = None,
    shared_mask: Pixels | None = None,
) -> Pixels:
    """The pixels of a hint; see preprocess_svc.hints."""
    return made(Wish(kind, content, auto_hint, parameters, mask=mask), size, at, shared_mask=shared_mask).pixels


def usual(kind: str) -> Extractor | None:
    """The extractor that needs no annotator, if the kind has one."""
    return CONTROLS[kind].usual(NO_ANNOTATORS)


def extracted(kind: str, picture: Pixels, parameters: Mapping[str, float]) -> Pixels:
    """What the kind's algorithm makes of a picture, UINT8 [h, w, 3]."""
    algorithm = usual(kind)
    assert isinstance(algorithm, Algorithm)
    return algorithm.extract(picture, algorithm.settle(kind, parameters))
