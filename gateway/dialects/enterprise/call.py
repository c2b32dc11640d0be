"""A call of one of the enterprise dialect's functions that make no pictures, as its handler gets it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.bootstrap import Gateway
from gateway.dialects.common.lenient import Lenient


@dataclass(frozen=True)
class Call:
    """What was sent, by whom, to where.

    Attributes:
        gateway: its parts.
        fields: of the body.
        owner: holder of the key, which has the scope that the function asks for.
        path: that it was sent to.
        base: start of absolute URLs in the answer.
    """

    gateway: Gateway
    fields: Lenient
    owner: str
    path: str
    base: str


Function = Callable[[Call], Awaitable[Any]]
"""Gives the body of the answer, JSON; raises MeshError."""


def done(message: str) -> dict[str, Any]:
    """The usual answer of a function that has done what it was asked to."""
    return {"status": "success", "message": message}


def number_of(asked: str) -> int:
    """The request's integer id that `asked` spells; 0, which nothing has, for what is none."""
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 0
