"""Forms of multipart/form-data (RFC 7578): looked over as they arrive, their fields built when the sender is known.

Both is done by the parser of python-multipart, so that the key that is looked for and the fields are never read in two
ways. What is not its matter stands here: bounds, parameters in RFC 2231's forms, text before the first part.
"""

import logging
from collections.abc import Mapping
from typing import Any

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from gateway.web.json_bodies import LONGEST_TEXT
from gateway.web.malformed import Malformed
from gateway.web.parameters import LONGEST_HEADER, MOST_PARAMETERS, joined, parameters
from gateway.web.urlencoded import MOST_FORM_FIELDS
from mesh.containers import MAX_BYTES

# What is wrong with a client's form is told to the client.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

LONGEST_FIELD = 3 * MAX_BYTES
"""Most bytes of a field: it may be a picture as base64, which is a third larger and may have line breaks."""
LONGEST_HEAD = LONGEST_HEADER
"""Most bytes of a part's head, and of the Content-Type of the body."""
LONGEST_HEADS = 1 << 16
"""Most bytes of the heads of all parts together."""
LONGEST_NAME = 512
"""Most bytes of a field's name, as it is written."""
MOST_HEAD_LINES = 16
_LONGEST_BOUNDARY = 70
# What takes longer than reading a byte, in such bytes, as measured: a part, a byte of its head.
_PART, _HEAD = 2048, 32
_REFUSED = (
    f"the body is not a valid multipart form of at most {MOST_FORM_FIELDS} fields, each with a head of at most "
    f"{LONGEST_HEAD} bytes, {MOST_HEAD_LINES} lines and {MOST_PARAMETERS} parameters a line"
)


def multipart(content_type: str, body: bytes) -> dict[str, Any]:
    """Parse `body`: text fields as str, files as bytes; of repeated names the last one counts.

    A part with a filename is a file, even if the name is empty or in RFC 2231's form.

    Args:
        content_type: with the boundary, of 1 to 70 characters.
        body: at most MOST_FORM_FIELDS parts, each with a content of at most LONGEST_FIELD bytes.

    Raises:
        Malformed: not a valid form, or a limit is exceeded.
    """
    scan = MultipartScan(content_type)
    scan.feed(body)
    return scan.fields(body)


class MultipartScan:
    """Looks over a form chunk by chunk, and finds the text of one field. Nothing else is kept.

    Args:
        content_type: with the boundary.
        wanted: name of the field that is looked for; "" for none.

    Raises:
        Malformed: there is no valid boundary.
    """

    is_json = False

    def __init__(self, content_type: str, wanted: str = "") -> None:
        self._boundary = _boundary(content_type)
        self._form = _Form(self._boundary, wanted, LONGEST_TEXT)

    @property
    def found(self) -> str | None:
        """The text of that field so far, of repeated ones that of the last; None if there is none or it is empty."""
        return self._form.found

    @property
    def work(self) -> int:
        """As Scan.work."""
        return self._form.work

    def feed(self, chunk: bytes) -> None:
        """Look over the next bytes.

        Raises:
            Malformed: they are no form, or a limit is exceeded.
        """
        self._form.feed(chunk)

    def finish(self) -> None:
        """Take note that the body is whole."""

    def fields(self, body: bytes) -> dict[str, Any]:
        """The fields of the whole `body`, which was looked over.

        Raises:
            Malformed: it was cut short, or has no fields, or a text is not UTF-8.
        """
        form = _Form(self._boundary, None, LONGEST_FIELD)
        form.feed(body)
        if not form.is_complete or not form.fields:
            raise Malformed(_REFUSED)
        return form.fields


class _Complete(Exception):
    """The last boundary was read: what follows counts for nothing, and is not looked at."""


class _Form:
    """The parts of a form, as the parser finds them.

    Args:
        boundary: of the parts.
        wanted: the only field whose content is kept, if it is no file; None keeps all.
        most: bytes that are kept of a field.

    Attributes:
        fields: what was kept, where `wanted` is None: text as str, files as bytes.
        found: the text of the wanted field.
        is_complete: whether the last boundary was read.
    """

    def __init__(self, boundary: bytes, wanted: str | None, most: int) -> None:
        self.fields: dict[str, Any] = {}
        self.found: str | None = None
        self.is_complete = False
        self._wanted, self._most = wanted, most
        self._delimiter = b"\r\n--" + boundary
        # The end of what came before. A line break stands before the body: its first boundary is like any other.
        self._tail = b"\r\n"
        self._is_begun = False
        self._boundaries = self._parts = self._heads = self._looked_at = 0
        self._line, self._value = bytearray(), bytearray()
        self._head = self._size = 0
        self._headers: dict[str, str] = {}
        self._name, self._is_file = "", False
        self._kept: list[bytes] = []
        self._room = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._content,
                "on_part_end": self._end,
                "on_end": self._complete,
            },
            max_header_count=MOST_HEAD_LINES,
            max_header_size=LONGEST_HEAD,
        )

    @property
    def work(self) -> int:
        """As Scan.work. Looking for boundaries may take as long as reading, if the bytes resemble them."""
        return self._looked_at + _PART * self._parts + _HEAD * self._heads

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes.

        Raises:
            Malformed: they are no form, or a limit is exceeded, or a text is not UTF-8.
        """
        if self.is_complete:
            return
        self._looked_at += len(chunk)
        delimiter, before = self._delimiter, len(self._tail)
        # Where this chunk meets the one before; the chunk itself may be large, and is not copied.
        border = self._tail + chunk[: len(delimiter) + 1]
        across = border.find(delimiter)
        is_across = 0 <= across < before and self._tail != delimiter
        self._boundaries += is_across
        self._refuse_blank(border, across + len(delimiter) if across >= 0 else len(border))
        # The parser handles what resembles a boundary, and blanks after one, byte by byte, so there may be few of them.
        # One search for both: where most bytes resemble a boundary, a search takes longer than all the rest.
        first = at = chunk.find(delimiter)
        while at >= 0:
            self._boundaries += 1
            self._refuse_blank(chunk, at + len(delimiter))
            at = chunk.find(delimiter, at + len(delimiter))
        self._tail = (border if len(chunk) < len(delimiter) else chunk)[-len(delimiter) :]
        if not self._is_begun:
            # Text before the first part is passed over, which the parser does not do.
            at = across - before if is_across else first
            if at == -1 and not is_across:
                return
            self._is_begun = True
            # Without the line break, as the parser wants it.
            chunk = border[before + at + 2 : before] + chunk if at < -2 else chunk[at + 2 :]
        try:
            self._parser.write(chunk)
        except _Complete:
            self.is_complete = True
        except (ValueError, FormParserError):
            raise Malformed(_REFUSED) from None

    def _refuse_blank(self, part: bytes, end: int) -> None:
        """Refuse too many boundaries, and a blank behind one: it may stand there by the letter; nobody sends it."""
        if self._boundaries > MOST_FORM_FIELDS + 1 or part[end : end + 1] in (b" ", b"\t"):
            raise Malformed(_REFUSED)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_FORM_FIELDS:
            raise ValueError("too many parts")
        self._head = self._size = 0
        self._headers, self._kept = {}, []

    def _header_name(self, sent: bytes, start: int, end: int) -> None:
        self._line += sent[start:end]

    def _header_value(self, sent: bytes, start: int, end: int) -> None:
        self._value += sent[start:end]

    def _header_end(self) -> None:
        # As if each were written "Name: value" and a line break.
        self._head += len(self._line) + len(self._value) + 4
        if self._head - 2 > LONGEST_HEAD or b"\n" in self._value:
            raise ValueError("head")
        # Of repeated headers the first one counts.
        self._headers.setdefault(self._line.decode("latin-1").lower(), self._value.decode("utf-8", "replace"))
        self._line, self._value = bytearray(), bytearray()

    def _headers_end(self) -> None:
        self._heads += self._head
        if self._heads > LONGEST_HEADS:
            raise ValueError("heads")
        self._name, self._is_file = _named(self._headers)
        self._room = self._most if self._keeps else 0

    @property
    def _keeps(self) -> bool:
        return self._wanted is None or (self._name == self._wanted and not self._is_file)

    def _content(self, sent: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > LONGEST_FIELD:
            raise ValueError("content")
        if self._room:
            self._kept.append(sent[start : min(end, start + self._room)])
            self._room -= len(self._kept[-1])

    def _end(self) -> None:
        if not self._keeps:
            return
        content = self._kept[0] if len(self._kept) == 1 else b"".join(self._kept)
        if self._wanted is None:
            self.fields[self._name] = content if self._is_file else content.decode()
        else:
            self.found = content.decode(errors="replace") or None

    def _complete(self) -> None:
        raise _Complete


def _boundary(content_type: str) -> bytes:
    try:
        boundary = joined(parameters(content_type).get("boundary", {}))
    except ValueError:
        raise Malformed(_REFUSED) from None
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise Malformed(_REFUSED)
    return boundary.encode("latin-1", "replace")


def _named(headers: Mapping[str, str]) -> tuple[str, bool]:
    """The name of the part with these headers, and whether it is a file.

    Raises:
        Malformed: it has no name, or too long a one.
    """
    disposition = parameters(headers.get("content-disposition", ""))
    pieces = disposition.get("name")
    if pieces is None or sum(len(written) for written, _ in pieces.values()) > LONGEST_NAME:
        raise Malformed(_REFUSED)
    # Older clients have a file's name in its type.
    is_file = "filename" in disposition or "name" in parameters(headers.get("content-type", ""))
    return joined(pieces), is_file
