"""Merge requests into batches and split the results: pure functions over NumPy arrays, testable without a server."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Feeds = Mapping[str, Array]


class BatchError(Exception):
    """A graph's output can't be split between the requests; the message says what the graph must do."""


def alike(requests: Sequence[Feeds]) -> list[list[int]]:
    """Group the positions of requests that can run as one batch: same inputs, same shapes after dimension 0.

    Triton's dynamic batcher only joins such requests, so there is usually one group. The exception, which this keeps
    correct, is two controls of one request that arrive in one call with different numbers of text rows.
    """
    groups: dict[tuple[tuple[str, tuple[int, ...]], ...], list[int]] = {}
    for position, feeds in enumerate(requests):
        key = tuple((name, array.shape[1:]) for name, array in feeds.items())
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def rows_of(feeds: Feeds) -> int:
    """Rows of one request: the length of dimension 0, equal for all its inputs."""
    return int(next(iter(feeds.values())).shape[0])


def numbers_of(feeds: Feeds) -> int:
    """Numbers in all inputs of one row of a request."""
    return sum(array.size for array in feeds.values()) // max(1, rows_of(feeds))


def merged(requests: Sequence[Feeds]) -> Feeds:
    """Concatenate requests along dimension 0, in order. A single request is returned without a copy."""
    if len(requests) == 1:
        return requests[0]
    return {name: np.concatenate([feeds[name] for feeds in requests]) for name in requests[0]}


def dealt(outputs: Mapping[str, Array], rows: Iterable[int]) -> list[dict[str, Array]]:
    """Split a batch's outputs into the rows of each request, as views.

    Args:
        outputs: name -> [B, ...] with B the sum of `rows`.
        rows: rows of each request, in the order in which they were merged.

    Raises:
        BatchError: an output's dimension 0 is not B.
    """
    bounds = np.cumsum([0, *rows]).tolist()
    total = bounds[-1]
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != total:
            raise BatchError(
                f"output {name!r} has shape {list(array.shape)} for a batch of {total} rows: "
                "export the graph with dimension 0 as its batch"
            )
    if len(bounds) == 2:
        return [dict(outputs)]
    return [{name: array[start:end] for name, array in outputs.items()} for start, end in pairwise(bounds)]
