"""What the client's procedures ask of a driver, and what it gives them: no input or output happens here.

A procedure is a generator: it yields what it wants and is sent what came of it, so that one procedure serves Client,
which does all that at once, and AsyncClient, which awaits it.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request of HTTP.

    Attributes:
        method: of HTTP.
        url: absolute.
        headers: with the key where the request goes to the mesh itself.
        content: the body.
        timeout_s: seconds without a sign of the server after which it is given up.
        follows: whether redirects are followed.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    timeout_s: float = 30.0
    follows: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that came whole. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream of events has begun, and `Read` gives its pieces."""


@dataclass(frozen=True, slots=True)
class Cut:
    """No answer, or none that was whole; `reason` says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Send:
    """Wants Answer or Cut."""

    call: Call


@dataclass(frozen=True, slots=True)
class Listen:
    """Wants Opened where the answer is a stream of events, else Answer or Cut. Ends the stream that was open."""

    call: Call


@dataclass(frozen=True, slots=True)
class Read:
    """Wants the next bytes of the open stream, b"" at its end, or Cut."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wants that many seconds to go by."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """Wants what `act` returns; it may take its time, reading a file for one."""

    act: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Told:
    """Wants `news` to be handed to whoever follows, if anybody does."""

    news: Any


Wanted = Send | Listen | Read | Pause | Work | Told
Steps = Generator[Wanted, Any, T]
"""A procedure that ends with a T."""
