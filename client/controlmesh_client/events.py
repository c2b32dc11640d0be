"""Parser of server-sent events, as in the HTML standard (section 9.2.6, "Interpreting an event stream")."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MOST_BYTES = 32 * 2**20
_BOM = b"\xef\xbb\xbf"
_END = re.compile(rb"\r\n|\r|\n")


class EventTooLarge(ValueError):
    """An event, or a line of one, is larger than the reader's limit."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event.

    Attributes:
        kind: its `event`, "message" by default.
        data: its data lines, joined by line feeds.
        id: the last id in the stream, "" before the first.
    """

    kind: str
    data: str
    id: str


class EventReader:
    """Parses a stream fed in pieces of any size.

    Attributes:
        retry_ms: the stream's last `retry`: pause before reconnecting in milliseconds; None before the first.
        last_id: value of `Last-Event-ID` for reconnecting.

    Args:
        most_bytes: maximum size of an event, names and line ends included.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.retry_ms: int | None = None
        self.last_id = ""
        self._most = most_bytes
        self._pending = bytearray()
        self._searched = 0
        self._begun = False
        self._after_return = False
        self._next_id = ""
        self._kind, self._size = "", 0
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[Event]:
        """Feed `piece`; returns the events that it completes. EventTooLarge."""
        self._pending += piece
        if not self._begun:
            if len(self._pending) < len(_BOM) and _BOM.startswith(self._pending):
                return []
            self._begun = True
            if self._pending.startswith(_BOM):
                del self._pending[: len(_BOM)]
        events = [event for line in self._lines() if (event := self._take(line))]
        if self._size + len(self._pending) > self._most:
            raise EventTooLarge(f"an event is larger than {self._most} bytes")
        return events

    def _lines(self) -> Iterator[bytes]:
        """The complete lines; a carriage return ends a line at once, and a line feed after it is skipped."""
        if self._after_return and self._pending:
            if self._pending.startswith(b"\n"):
                del self._pending[:1]
            self._after_return = False
        begin, place = 0, self._searched
        while match := _END.search(self._pending, place):
            line = bytes(self._pending[begin : match.start()])
            begin = place = match.end()
            self._after_return = match[0] == b"\r" and begin == len(self._pending)
            yield line
        del self._pending[:begin]
        # The part that was already searched has no line end.
        self._searched = len(self._pending)

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        self._size += len(line) + 1
        if self._size > self._most:
            raise EventTooLarge(f"an event is larger than {self._most} bytes")
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._next_id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) < 10:
                self.retry_ms = int(value)
        return None

    def _dispatch(self) -> Event | None:
        self.last_id = self._next_id
        event = Event(self._kind or "message", "\n".join(self._data), self.last_id) if self._data else None
        self._forget()
        return event

    def _forget(self) -> None:
        self._kind, self._size = "", 0
        self._data = []
