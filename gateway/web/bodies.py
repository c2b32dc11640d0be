"""Request bodies: read up to a limit, then as a JSON object or as a form."""

from collections.abc import Mapping
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any
from urllib.parse import parse_qsl

import orjson
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from starlette.requests import Request

from mesh.errors import InvalidInput
from mesh.pictures import MAX_BYTES

MOST_FORM_FIELDS = 200
# Of a multipart form. A field may be a picture as text: base64 is a third larger, and lines in it are tolerated.
LONGEST_FIELD = 3 * MAX_BYTES
LONGEST_HEAD = 8192
MOST_HEAD_LINES = 32
_LONGEST_BOUNDARY = 70
# Of one header; what splits them needs time for each with each.
_MOST_PARAMETERS = 64


class Malformed(InvalidInput):
    """The body can't be read at all, whatever the dialect; `status` is what HTTP calls that."""

    status = 400


class BodyTooLarge(Malformed):
    """The body is larger than this gateway takes."""

    status = 413


class BodyCompressed(Malformed):
    """The body is compressed, and may be a bomb."""

    status = 415


async def read(request: Request, max_bytes: int) -> bytes:
    """The whole body; it stays at hand for `kept`.

    Raises:
        BodyTooLarge: more than `max_bytes`; reading stops there.
        BodyCompressed: a compressed body.
    """
    if request.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise BodyCompressed("compressed bodies are not taken; send the body as it is")
    if int(request.headers.get("content-length") or 0) > max_bytes:
        raise BodyTooLarge(f"the body is larger than {max_bytes} bytes; send smaller pictures")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge(f"the body is larger than {max_bytes} bytes; send smaller pictures")
    request.state.body = whole = bytes(body)
    return whole


def kept(request: Request) -> bytes:
    """The body that was read before, for the last time: it is let go, since it may be large and the answer far."""
    body: bytes = getattr(request.state, "body", b"")
    request.state.body = b""
    return body


def json_object(body: bytes) -> dict[str, Any]:
    """`body` as a JSON object; of repeated names the last one counts.

    Raises:
        Malformed: not JSON (NaN, lone surrogates and bottomless nesting are none) or no object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Malformed("the body is not valid JSON") from None
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


def urlencoded(body: bytes) -> dict[str, Any]:
    """`body` as a form of application/x-www-form-urlencoded; of repeated names the last one counts.

    Raises:
        Malformed: not UTF-8, or too many fields.
    """
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FORM_FIELDS, errors="strict")
    except ValueError:
        raise Malformed(f"the body is no form of at most {MOST_FORM_FIELDS} fields in UTF-8") from None
    return dict(pairs)


def multipart(content_type: str, body: bytes) -> dict[str, Any]:
    """`body` as a form of multipart/form-data: text fields as str, files as bytes; the last of a name counts.

    A file is what has a filename, be it empty or in RFC 2231's form. The time grows with the bytes and nothing else.

    Args:
        content_type: with the boundary, of 1 to 70 characters.
        body: at most MOST_FORM_FIELDS parts, each with a head of at most LONGEST_HEAD bytes and MOST_HEAD_LINES lines
            and a content of at most LONGEST_FIELD bytes.

    Raises:
        Malformed: not of that form.
    """
    refused = Malformed(f"the body is no multipart form of at most {MOST_FORM_FIELDS} fields")
    try:
        boundary = _parameters({"Content-Type": content_type}).get_boundary("")
        if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
            raise refused
        start = b"--" + boundary.encode("latin-1", "replace")
        delimiter = b"\r\n" + start
        # Before the parser looks: it takes near misses of the delimiter and blanks behind it byte by byte.
        if body.count(delimiter) > MOST_FORM_FIELDS + 1 or delimiter + b" " in body or delimiter + b"\t" in body:
            raise refused
        if not body.startswith(start):
            # What stands before the first part counts for nothing, and the parser doesn't know it.
            body = body[body.index(delimiter) + 2 :]
        form = _Form(start[2:])
        form.write(body)
    except (ValueError, FormParserError):
        raise refused from None
    if not form.fields or not form.complete:
        raise refused
    return form.fields


class _Form:
    """The fields of a multipart form, as its parser finds them.

    Attributes:
        fields: text as str, files as bytes.
        complete: whether the last boundary was seen.
    """

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, Any] = {}
        self.complete = False
        self._parts = self._head_bytes = self._content_bytes = 0
        self._name, self._value = bytearray(), bytearray()
        self._headers: dict[str, str] = {}
        self._content: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._last,
            },
            max_header_count=MOST_HEAD_LINES,
            max_header_size=LONGEST_HEAD,
        )

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            FormParserError: they are no form.
            ValueError: they break a bound, or a name or text is not readable.
        """
        self._parser.write(data)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_FORM_FIELDS:
            raise ValueError("too many parts")
        self._head_bytes = self._content_bytes = 0
        self._headers, self._content = {}, []

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._grow(end - start)
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._grow(end - start)
        self._value += data[start:end]

    def _grow(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > LONGEST_HEAD:
            raise ValueError("too long a head")

    def _header_end(self) -> None:
        # Of repeated headers the first one counts.
        self._headers.setdefault(self._name.decode("latin-1").lower(), self._value.decode("utf-8", "replace"))
        self._name, self._value = bytearray(), bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._content_bytes += end - start
        if self._content_bytes > LONGEST_FIELD:
            raise ValueError("too large a field")
        self._content.append(data[start:end])

    def _end(self) -> None:
        head = _parameters(self._headers)
        name = head.get_param("name", header="content-disposition")
        if name is None:
            raise ValueError("a part without name")
        content = b"".join(self._content)
        is_file = head.get_filename() is not None
        self.fields[collapse_rfc2231_value(name)] = content if is_file else content.decode()

    def _last(self) -> None:
        self.complete = True


def _parameters(headers: Mapping[str, str]) -> Message:
    """Those of `headers` that have parameters, for the standard library to read: it knows RFC 2231, which older
    clients use for names of files, and python-multipart leaves it out.

    Raises:
        ValueError: too long, or too many parameters.
    """
    known = Message()
    for name, value in headers.items():
        if name.lower() not in ("content-disposition", "content-type"):
            continue
        if len(value) > LONGEST_HEAD or value.count(";") > _MOST_PARAMETERS:
            raise ValueError("too many parameters")
        known[name] = value
    return known
