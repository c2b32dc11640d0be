"""Forms of application/x-www-form-urlencoded: looked over as they arrive, decoded when their sender is known."""

from contextlib import suppress
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.web.json_bodies import BYTE_ORDER_MARK, LONGEST_TEXT
from gateway.web.malformed import Malformed

URLENCODED = "application/x-www-form-urlencoded"
MOST_FORM_FIELDS = 200
_REFUSED = f"the body is not a valid form of at most {MOST_FORM_FIELDS} fields in UTF-8"
_ESCAPED_CHARACTER = len(b"%6b")
# Decoding takes some 100 bytes for each escape, so it is done piece by piece.
_PIECE = 1 << 18
# What takes longer than reading a byte, in such bytes, as measured: a field, a byte of one that is decoded.
_FIELD, _ESCAPED = 256, 20


def urlencoded(body: bytes) -> dict[str, Any]:
    """Parse `body`; of repeated names the last one counts. A byte order mark before it is passed over.

    Raises:
        Malformed: not UTF-8, or too many fields.
    """
    scan = UrlencodedScan()
    scan.feed(body)
    scan.finish()
    return scan.fields(body)


class UrlencodedScan:
    """Looks over a form chunk by chunk: counts its fields, and finds one of them. Nothing is decoded but that one.

    Args:
        wanted: name of the field that is looked for; "" for none.
    """

    is_json = False

    def __init__(self, wanted: str = "") -> None:
        self._wanted = wanted
        # What was found, as it is written: of many repetitions only the last one is decoded.
        self._written: bytes | None = None
        self._text: str | None = None
        self._fields, self._decoded = 1, 0
        # The field that is being read, as far as it may be the wanted one.
        self._field = bytearray()

    @property
    def found(self) -> str | None:
        """The text of that field so far, of repeated ones that of the last; None if there is none or it is empty."""
        if (written := self._written) is not None:
            self._written = None
            self._decoded += len(written)
            # What is not UTF-8 will be refused by `fields`.
            with suppress(ValueError):
                self._text = _decoded(written) or None
        return self._text

    @property
    def work(self) -> int:
        """As Scan.work."""
        return _FIELD * self._fields + _ESCAPED * self._decoded

    def feed(self, chunk: bytes) -> None:
        """Look over the next bytes.

        Raises:
            Malformed: too many fields.
        """
        self._fields += chunk.count(b"&")
        if self._fields > MOST_FORM_FIELDS:
            raise Malformed(_REFUSED)
        if not self._wanted:
            return
        for number, piece in enumerate(chunk.split(b"&")):
            if number:
                self.finish()
            self._field += piece[: self._most - len(self._field)]

    def finish(self) -> None:
        """Take note that the body, or one of its fields, is whole."""
        self._look()
        self._field.clear()

    def fields(self, body: bytes) -> dict[str, Any]:
        """Decode the whole `body`, which was looked over; text as str.

        Raises:
            Malformed: not UTF-8.
        """
        try:
            pairs = (field.partition(b"=") for field in body.removeprefix(BYTE_ORDER_MARK).split(b"&") if field)
            return {_decoded(name): _decoded(value) for name, _, value in pairs}
        except ValueError:
            raise Malformed(_REFUSED) from None

    @property
    def _most(self) -> int:
        return _ESCAPED_CHARACTER * len(self._wanted) + 1 + LONGEST_TEXT

    def _look(self) -> None:
        """See whether the field that is being read is the wanted one."""
        name, equals, value = bytes(self._field).partition(b"=")
        name = name.removeprefix(BYTE_ORDER_MARK)
        if not equals or len(name) > _ESCAPED_CHARACTER * len(self._wanted):
            return
        # What is not UTF-8 will be refused by `fields`.
        with suppress(ValueError):
            if _decoded(name) == self._wanted:
                self._written = value


def _decoded(written: bytes) -> str:
    """`written` without its escapes; ValueError if it is not UTF-8."""
    plain = written.replace(b"+", b" ")
    if b"%" not in plain:
        return plain.decode()
    return b"".join(map(unquote_to_bytes, _pieces(plain))).decode()


def _pieces(plain: bytes) -> list[bytes]:
    """`plain` in pieces; none ends within an escape."""
    pieces, at = [], 0
    while at < len(plain):
        end = min(at + _PIECE, len(plain))
        escape = plain.find(b"%", end - 2, end) if end < len(plain) else -1
        end = end if escape < 0 else escape
        pieces.append(plain[at:end])
        at = end
    return pieces
