"""JSON bodies: looked over as they arrive, parsed when whole. Nothing is built from one that is too deep, that has too
many values, or whose sender is not known yet."""

import re
from typing import Any

import orjson

from gateway.web.malformed import Malformed

DEEPEST = 64
"""Most objects and arrays inside one another."""
MOST_MARKS = 8192
"""Most brackets, braces, commas and colons outside texts: a bound on the objects that are built."""
MOST_FIELDS = 1024
"""Most fields of the body's object."""
MOST_OUTSIDE = 1 << 20
"""Most bytes outside texts: marks, numbers and the blanks between them."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LONGEST_TEXT = 8192
"""Most bytes of a field that is looked for, as it is written; a longer one is cut off."""

# A mark, a whole short text, or the quote that begins another one.
_TOKEN = re.compile(rb'[{}\[\],:]|"(?:[^"\\]{0,64}+")?+')
_DEEPER = {b"{": 1, b"[": 1, b"}": -1, b"]": -1, b",": 0, b":": 0}
# To the end of a text, or of the chunk; behind a lone backslash at the chunk's end stands nothing yet.
_REST_OF_TEXT = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_ESCAPED_CHARACTER = len(rb"\u006b")
_BROKEN = "the body is not valid JSON"
# What takes longer than reading a byte of plain text, in such bytes, as measured: a byte of a text behind an escape or
# outside texts, a mark, a text that may be the name or the value that is looked for.
_SLOW, _MARK, _LOOKED_AT = 3, 200, 600


def json_object(body: bytes) -> dict[str, Any]:
    """Parse `body` as a JSON object; of repeated names the last one counts. A byte order mark before it is passed over.

    Raises:
        Malformed: not valid JSON (nor are NaN and lone surrogates), not an object, too deep, or too many values.
    """
    scan = JsonScan()
    scan.feed(body)
    return scan.fields(body)


def parse(body: bytes) -> Any:
    """The value of `body`, whose bounds were checked, behind a byte order mark if there is one; ValueError."""
    return orjson.loads(memoryview(body)[len(BYTE_ORDER_MARK) :] if body.startswith(BYTE_ORDER_MARK) else body)


class JsonScan:
    """Looks over a JSON body chunk by chunk: counts its values and its depth, and finds one field of its object.

    It builds nothing, and it is lenient: what is no JSON is found out by `fields`.

    Args:
        wanted: name of the field that is looked for; "" for none.

    """

    is_json = True

    def __init__(self, wanted: str = "") -> None:
        self._wanted = wanted
        self._plain = wanted.encode()
        # The value of the wanted field, as it is written.
        self._value = b""
        self._depth = self._marks = self._texts = self._outside = self._names = 0
        self._looked_at = self._with_escapes = 0
        # Within a text, and whether its next byte is escaped.
        self._inside = self._escaped = False
        self._is_object = False
        # What is read at the top level: a name, a value of the wanted name; as far as it was read.
        self._named = self._wants_value = False
        self._kept: bytearray | None = None

    @property
    def found(self) -> str | None:
        """The text of the wanted field so far, of repeated ones that of the last; None if it is missing or empty."""
        return _text_of(self._value)

    @property
    def work(self) -> int:
        """As Scan.work."""
        slow = _SLOW * (self._outside + self._with_escapes)
        return slow + _MARK * self._marks + _LOOKED_AT * self._looked_at

    def feed(self, chunk: bytes) -> None:
        """Look over the next bytes.

        Raises:
            Malformed: a bound is exceeded, or they can't be JSON.
        """
        at, end = 0, len(chunk)
        while at < end:
            if self._inside:
                at = self._text(chunk, at)
                continue
            token = _TOKEN.search(chunk, at)
            stop = token.start() if token else end
            self._outside += stop - at
            if self._outside > MOST_OUTSIDE:
                raise Malformed(f"the body has more than {MOST_OUTSIDE} bytes of numbers and blanks outside its texts")
            if self._wants_value and self._kept is not None:
                self._keep(chunk[at:stop], LONGEST_TEXT)
            if token is None:
                return
            mark = token[0]
            at = token.end()
            if (deeper := _DEEPER.get(mark)) is None:
                at = self._begin(at, stop)
            else:
                self._take(mark, deeper)

    def finish(self) -> None:
        """Take note that the body is whole."""

    def fields(self, body: bytes) -> dict[str, Any]:
        """Parse the whole `body`, which was looked over.

        Raises:
            Malformed: not valid JSON, or not an object.
        """
        try:
            value = parse(body)
        except orjson.JSONDecodeError as error:
            where = f" at line {error.lineno}, column {error.colno}" if body.strip() else ": it is empty"
            raise Malformed(f"{_BROKEN}{where}") from None
        if not isinstance(value, dict):
            raise Malformed("the body must be a JSON object")
        return value

    def _begin(self, end: int, start: int) -> int:
        """A text from `start`, to `end` if it is a short one; returns where to go on."""
        self._texts += 1
        # Two texts have a mark between them.
        if self._texts > self._marks + 1:
            raise Malformed(_BROKEN)
        looked_at = self._wanted and self._depth == 1 and self._is_object
        if end - start > 1 and not looked_at:
            return end
        self._inside = True
        self._looked_at += bool(looked_at)
        self._kept = bytearray() if looked_at else None
        return start + 1

    def _take(self, mark: bytes, deeper: int) -> None:
        """A mark, which leads `deeper` by one, zero or minus one."""
        self._marks += 1
        if self._marks > MOST_MARKS:
            raise Malformed(
                f"the body has more than {MOST_MARKS} brackets, braces, commas and colons outside its texts; "
                "send fewer values"
            )
        if self._depth == 1 and self._is_object:
            self._at_top(mark)
        if deeper:
            if not self._depth:
                self._is_object = mark == b"{"
            self._depth += deeper
            if self._depth > DEEPEST:
                raise Malformed(f"the body has more than {DEEPEST} objects and arrays inside one another")
            if self._depth < 0:
                raise Malformed(_BROKEN)

    def _at_top(self, mark: bytes) -> None:
        """A mark between the names and the values of the body's object."""
        if mark == b":":
            self._names += 1
            if self._names > MOST_FIELDS:
                raise Malformed(f"the body has more than {MOST_FIELDS} fields")
            self._wants_value = self._named
            self._kept = bytearray() if self._named else None
            if self._named:
                self._value = b""
        elif self._wants_value:
            # The value ends, or is an object or an array.
            if mark in b",}" and self._kept is not None:
                self._value = bytes(self._kept)
            self._wants_value = False
            self._kept = None
        self._named = False

    def _text(self, chunk: bytes, at: int) -> int:
        """Pass over the text that `at` stands in; returns where to go on."""
        start = at
        if self._escaped:
            self._escaped = False
            at += 1
        end = chunk.find(b'"', at)
        stop = end if end >= 0 else len(chunk)
        if (escape := chunk.find(b"\\", at, stop)) >= 0:
            # Most texts, pictures above all, have no escapes, and are passed over at memory speed.
            found = _REST_OF_TEXT.match(chunk, escape)
            stop = found.end() if found else escape
            self._with_escapes += stop - escape
            self._escaped = chunk[stop:] == b"\\"
            end = stop if chunk[stop : stop + 1] == b'"' else -1
            stop = stop if end >= 0 else len(chunk)
        if self._kept is not None:
            self._keep(chunk[start:stop], LONGEST_TEXT if self._wants_value else self._longest_name)
        if end < 0:
            return len(chunk)
        self._inside = False
        if self._wants_value:
            if self._kept is not None:
                self._value = b'"%b"' % bytes(self._kept)
                self._kept = None
        elif self._kept is not None:
            self._named = self._kept == self._plain or (
                b"\\" in self._kept and _text_of(b'"%b"' % bytes(self._kept)) == self._wanted
            )
            self._kept = None
        return end + 1

    @property
    def _longest_name(self) -> int:
        """Bytes of the wanted name if every character of it is escaped; a longer name is another one."""
        return _ESCAPED_CHARACTER * len(self._wanted)

    def _keep(self, piece: bytes, most: int) -> None:
        if self._kept is not None:
            self._kept += piece[: most + 1 - len(self._kept)]


def _text_of(written: bytes) -> str | None:
    """The text of a JSON scalar; None if it is empty, zero, false or null, or no JSON."""
    try:
        value = orjson.loads(written)
    except orjson.JSONDecodeError:
        # Cut off, or broken: it is no key that anybody has.
        return None
    return str(value) if value and not isinstance(value, list | dict) else None
