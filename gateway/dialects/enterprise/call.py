"""The argument of the handlers of the enterprise dialect's functions other than making pictures."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.bootstrap import Gateway
from gateway.dialects.common.lenient import Lenient
from gateway.generation import numbers
from gateway.jobs.job import NUMBERS


@dataclass(frozen=True)
class Call:
    """A call of a function.

    Attributes:
        gateway: its parts.
        fields: fields of the body.
        owner: owner of the key, which has the scope that the function requires.
        path: path of the request.
        base: start of absolute URLs in the answer.
    """

    gateway: Gateway
    fields: Lenient
    owner: str
    path: str
    base: str


Function = Callable[[Call], Awaitable[Any]]
"""Returns the JSON body of the answer; raises MeshError."""


def done(message: str) -> dict[str, Any]:
    """The usual answer for success."""
    return {"status": "success", "message": message}


def number_of(asked: str) -> int:
    """The integer id in `asked`, also as 123.0; 0, which no request has, if it is not one."""
    number = numbers.whole(numbers.written(asked))
    return number if number is not None and number in NUMBERS else 0
