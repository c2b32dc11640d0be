"""Answers of a model that are no answer, such as NaN: asked for once more, then an error, never a success."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter

from mesh.errors import InternalError
from mesh.telemetry import log

Answer = TypeVar("Answer")

UNSOUND = Counter("cn_unsound_answers_total", "Answers of models that were not finite, or a picture of nothing.")


async def sound(ask: Callable[[], Awaitable[Answer]], fault: Callable[[Answer], str]) -> Answer:
    """The answer of `ask`, which is called a second time if the first answer has a fault.

    Args:
        ask: asks the model.
        fault: what is wrong with an answer, as a sentence for the caller; empty if nothing is.

    Raises:
        InternalError: both answers have a fault.
        MeshError: as `ask`.
    """
    answer = await ask()
    if found := fault(answer):
        UNSOUND.inc()
        log.warning("unsound answer of a model", reason=found)
        answer = await ask()
        if found := fault(answer):
            UNSOUND.inc()
            raise InternalError(found)
    return answer


def not_finite(what: str, remedy: str) -> Callable[[Mapping[str, NDArray[Any]]], str]:
    """A `fault` of `sound` for outputs by name: any of them holds NaN or infinity.

    Args:
        what: what gave the outputs, in the plural.
        remedy: what the caller or operator may do.
    """

    def fault(outputs: Mapping[str, NDArray[Any]]) -> str:
        finite = all(array.dtype.kind != "f" or np.isfinite(array).all() for array in outputs.values())
        return "" if finite else f"{what} are not finite numbers; {remedy}"

    return fault
