"""Messages between the client's procedures and the code that drives them. No I/O happens here.

A procedure is a generator: it yields what it wants done and is sent the result, so that the same procedure serves
Client, which does it synchronously, and AsyncClient, which awaits it.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request.

    Attributes:
        method: HTTP method.
        url: absolute.
        headers: with the key if the request goes to the mesh itself.
        content: the body.
        timeout_s: timeout in seconds without any data from the server.
        follows: whether to follow redirects.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    timeout_s: float = 30.0
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream of events has begun; `Read` returns its data."""


@dataclass(frozen=True, slots=True)
class Cut:
    """No answer, or an incomplete one; `reason` says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; the result is Answer or Cut."""

    call: Call


@dataclass(frozen=True, slots=True)
class Listen:
    """Open a stream, closing the previous one; the result is Opened for a stream of events, else Answer or Cut."""

    call: Call


@dataclass(frozen=True, slots=True)
class Read:
    """Read the open stream; the result is the next bytes, b"" at its end, or Cut."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for a number of seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Call `act`, which may block, for instance to read a file; the result is its return value."""

    act: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Told:
    """Hand `news` to the follower, if there is one."""

    news: Any


Wanted = Send | Listen | Read | Pause | Work | Told
Steps = Generator[Wanted, Any, T]
"""A procedure that returns a T."""
