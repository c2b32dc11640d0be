"""Forms of multipart/form-data (RFC 7578): their parts are found as they arrive, their fields built when the sender is
known.

Whatever stands in the body, a byte is passed over at memory speed: only as many heads and boundaries are looked at as a
form may have fields.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from gateway.web.json_bodies import LONGEST_TEXT
from gateway.web.malformed import Malformed
from gateway.web.urlencoded import MOST_FORM_FIELDS
from mesh.pictures import MAX_BYTES

LONGEST_FIELD = 3 * MAX_BYTES
"""Most bytes of a field: it may be a picture as base64, which is a third larger and may have line breaks."""
LONGEST_HEAD = 2048
"""Most bytes of a part's head, and of the Content-Type of the body."""
LONGEST_HEADS = 1 << 16
"""Most bytes of the heads of all parts together."""
LONGEST_NAME = 512
"""Most bytes of a field's name, as it is written."""
MOST_HEAD_LINES = 16
MOST_PARAMETERS = 16
"""Most parameters of one header."""
_MOST_SEMICOLONS = 64
_LONGEST_BOUNDARY = 70
_REFUSED = (
    f"the body is not a valid multipart form of at most {MOST_FORM_FIELDS} fields, each with a head of at most "
    f"{LONGEST_HEAD} bytes, {MOST_HEAD_LINES} lines and {MOST_PARAMETERS} parameters a line"
)
# A parameter, or something without a value.
_PARAMETER = re.compile(r';\s*+(?:([^\s;="]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"\s*+|([^;"]*+))|[^;="]*+)')
# RFC 2231: name*=charset'language'value, name*0=value, name*0*=charset'language'value.
_EXTENDED = re.compile(r"([^*]++)(?:\*(\d{1,2}))?+(\*)?+")
_CHARSETS = {"iso-8859-1": "latin-1", "latin-1": "latin-1"}


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


@dataclass(frozen=True, slots=True)
class _Part:
    """A part: its name, whether it is a file, and where its content stands in the body."""

    name: str
    is_file: bool
    begin: int
    end: int = -1


class MultipartScan:
    """Finds the parts of a form chunk by chunk, and the text of one field. Nothing else is kept.

    Args:
        content_type: with the boundary.
        wanted: name of the field that is looked for; "" for none.

    Attributes:
        found: the text of that field so far, of repeated ones that of the last; None if there is none or it is empty.

    Raises:
        Malformed: there is no valid boundary.
    """

    is_json = False

    def __init__(self, content_type: str, wanted: str = "") -> None:
        self.found: str | None = None
        self._wanted = wanted
        boundary = _boundary(content_type)
        # With what must follow: near misses are passed over without being looked at. Blanks may follow by the letter of
        # the standard; nobody sends them.
        self._delimiter = re.compile(re.escape(b"\r\n--" + boundary) + rb"(\r\n|--|[ \t])")
        self._reach = len(boundary) + 6
        self._parts: list[_Part] = []
        self._heads = 0
        # Bytes that were not passed over yet, and where they stand in the body: before it stands a line break, so that
        # the first boundary is like any other.
        self._rest, self._at = b"\r\n", -2
        self._in_head = self._complete = False
        self._part: _Part | None = None
        self._kept = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Look over the next bytes.

        Raises:
            Malformed: they are no form, or a limit is exceeded.
        """
        if self._complete:
            return
        data, at = self._rest + chunk, 0
        while not self._complete:
            step = self._head(data, at) if self._in_head else self._content(data, at)
            if step is None:
                break
            at = step
        # A boundary, or a head's end, may be cut in two.
        keep = at if self._in_head else max(at, len(data) - self._reach + 1)
        if not self._in_head:
            self._pass(data[at:keep])
        self._rest, self._at = data[keep:], self._at + keep

    def finish(self) -> None:
        """Take note that the body is whole."""

    def fields(self, body: bytes) -> dict[str, Any]:
        """The fields of the whole `body`, which was looked over.

        Raises:
            Malformed: it was cut short, or has no fields, or a text is not UTF-8.
        """
        if not self._complete or not self._parts:
            raise Malformed(_REFUSED)
        view = memoryview(body)
        try:
            return {
                part.name: body[part.begin : part.end] if part.is_file else str(view[part.begin : part.end], "utf-8")
                for part in self._parts
            }
        except ValueError:
            raise Malformed(_REFUSED) from None

    def _head(self, data: bytes, at: int) -> int | None:
        """Read the head that follows the line break at `at`; returns where the content begins, None if it is cut."""
        end = data.find(b"\r\n\r\n", at, at + LONGEST_HEAD + 6)
        if end < 0:
            if len(data) - at >= LONGEST_HEAD + 6:
                raise Malformed(_REFUSED)
            return None
        if len(self._parts) >= MOST_FORM_FIELDS:
            raise Malformed(_REFUSED)
        self._heads += end - at
        if self._heads > LONGEST_HEADS:
            raise Malformed(_REFUSED)
        begin = end + 4
        name, is_file = _named(data[at + 2 : end])
        self._part = _Part(name, is_file, self._at + begin)
        self._kept.clear()
        self._in_head = False
        return begin

    def _content(self, data: bytes, at: int) -> int | None:
        """Go on to the next boundary; returns where the line break behind it stands, None if there is none yet."""
        found = self._delimiter.search(data, at)
        end = found.start() if found else len(data) - self._reach
        if self._part is not None and self._at + end - self._part.begin > LONGEST_FIELD:
            raise Malformed(_REFUSED)
        if found is None:
            return None
        if found[1] in (b" ", b"\t"):
            raise Malformed(_REFUSED)
        self._pass(data[at : found.start()])
        if self._part is not None:
            self._parts.append(_Part(self._part.name, self._part.is_file, self._part.begin, self._at + found.start()))
            if self._is_wanted:
                self.found = self._kept.decode(errors="replace") or None
            self._part = None
        self._complete = found[1] == b"--"
        self._in_head = not self._complete
        return found.end() - 2

    @property
    def _is_wanted(self) -> bool:
        part = self._part
        return part is not None and bool(self._wanted) and part.name == self._wanted and not part.is_file

    def _pass(self, piece: bytes) -> None:
        """Pass over a piece of a part's content."""
        if self._is_wanted:
            self._kept += piece[: LONGEST_TEXT - len(self._kept)]


def _boundary(content_type: str) -> bytes:
    boundary = _joined(_parameters(content_type).get("boundary", {}))
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise Malformed(_REFUSED)
    return boundary.encode("latin-1", "replace")


def _named(head: bytes) -> tuple[str, bool]:
    """A part's name, and whether it is a file.

    Raises:
        Malformed: it has no name, or the head is none.
    """
    lines = head.decode("utf-8", "replace").split("\r\n")
    if len(head) > LONGEST_HEAD or len(lines) > MOST_HEAD_LINES:
        raise Malformed(_REFUSED)
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line:
            raise Malformed(_REFUSED)
        # Of repeated headers the first one counts.
        headers.setdefault(name.lower(), value)
    disposition = _parameters(headers.get("content-disposition", ""))
    pieces = disposition.get("name")
    if pieces is None or sum(len(written) for written, _ in pieces.values()) > LONGEST_NAME:
        raise Malformed(_REFUSED)
    # Older clients have a file's name in its type.
    is_file = "filename" in disposition or "name" in _parameters(headers.get("content-type", ""))
    return _joined(pieces), is_file


# The pieces of a parameter by their number, and whether each is encoded: RFC 2231's forms, or a single plain one.
_Pieces = dict[int, tuple[str, bool]]


def _parameters(header: str) -> Mapping[str, _Pieces]:
    """The parameters of a header by name in lower case; of repeated ones the first counts.

    Raises:
        Malformed: too many, or written in a way that can't be read.
    """
    at = header.find(";")
    if len(header) > LONGEST_HEAD or header.count(";") > _MOST_SEMICOLONS:
        raise Malformed(_REFUSED)
    plain: dict[str, _Pieces] = {}
    extended: dict[str, _Pieces] = {}
    count = 0
    while 0 <= at < len(header):
        found = _PARAMETER.match(header, at)
        if found is None:
            raise Malformed(_REFUSED)
        at = found.end()
        if found[1] is None:
            continue
        count += 1
        if count > MOST_PARAMETERS:
            raise Malformed(_REFUSED)
        name = found[1].lower()
        written = found[3].strip() if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
        form = _EXTENDED.fullmatch(name)
        if form is None or (form[2] is None and form[3] is None):
            plain.setdefault(name, {0: (written, False)})
        else:
            extended.setdefault(form[1], {}).setdefault(int(form[2] or 0), (written, bool(form[3])))
    # The longer form has every character, so it counts for more.
    return plain | extended


def _joined(pieces: _Pieces) -> str:
    """The value of a parameter in RFC 2231's forms; of a character set that is not known, as UTF-8."""
    charset, whole = "utf-8", b""
    for index, (number, (written, is_encoded)) in enumerate(sorted(pieces.items())):
        if number != index:
            break
        if is_encoded and not index:
            named, _, rest = written.partition("'")
            charset, written = _CHARSETS.get(named.lower(), "utf-8"), rest.partition("'")[2]
        whole += unquote_to_bytes(written) if is_encoded else written.encode()
    return whole.decode(charset, "replace")
