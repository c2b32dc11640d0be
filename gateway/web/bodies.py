"""Request bodies: read up to a limit, then parsed as a JSON object or a form."""

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
# Of a multipart form. A field may be a picture as base64, which is a third larger and may have line breaks.
LONGEST_FIELD = 3 * MAX_BYTES
LONGEST_HEAD = 8192
MOST_HEAD_LINES = 32
_LONGEST_BOUNDARY = 70
# Of one header: the standard library's parser takes quadratic time.
_MOST_PARAMETERS = 64


class Malformed(InvalidInput):
    """The body can't be parsed, whatever the dialect; `status` is the HTTP status."""

    status = 400


class NoRoute(Malformed):
    """The path does not exist, or takes other methods.

    Args:
        message: as in MeshError.
        status: 404 or 405.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class BodyTooLarge(Malformed):
    """The body is larger than this gateway accepts."""

    status = 413


class BodyCompressed(Malformed):
    """The body is compressed, and may be a decompression bomb."""

    status = 415


async def read(request: Request, max_bytes: int) -> bytes:
    """Read the whole body, and keep it for `kept`.

    Raises:
        BodyTooLarge: more than `max_bytes`; reading stops there.
        BodyCompressed: a compressed body.
    """
    if request.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise BodyCompressed("compressed bodies are not accepted; send the body without Content-Encoding")
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
    """The body that `read` kept. It is released, since it may be large and the answer may take long; call this once."""
    body: bytes = getattr(request.state, "body", b"")
    request.state.body = b""
    return body


def json_object(body: bytes) -> dict[str, Any]:
    """Parse `body` as a JSON object; of repeated names the last one counts.

    Raises:
        Malformed: not valid JSON (nor are NaN, lone surrogates and very deep nesting), or not an object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # A picture instead of a body is one line, and nobody counts its columns.
        where = f" at line {error.lineno}, column {error.colno}" if body.strip() else ": it is empty"
        raise Malformed(f"the body is not valid JSON{where}") from None
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


def urlencoded(body: bytes) -> dict[str, Any]:
    """Parse `body` as application/x-www-form-urlencoded; of repeated names the last one counts.

    Raises:
        Malformed: not UTF-8, or too many fields.
    """
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FORM_FIELDS, errors="strict")
    except ValueError:
        raise Malformed(f"the body is not a valid form of at most {MOST_FORM_FIELDS} fields in UTF-8") from None
    return dict(pairs)


def multipart(content_type: str, body: bytes) -> dict[str, Any]:
    """Parse `body` as multipart/form-data: text fields as str, files as bytes; of repeated names the last one counts.

    A part with a filename is a file, even if the name is empty or in RFC 2231's form. The time is linear in the bytes.

    Args:
        content_type: with the boundary, of 1 to 70 characters.
        body: at most MOST_FORM_FIELDS parts, each with a head of at most LONGEST_HEAD bytes and MOST_HEAD_LINES lines
            and a content of at most LONGEST_FIELD bytes.

    Raises:
        Malformed: not a valid form, or a limit is exceeded.
    """
    refused = Malformed(f"the body is not a valid multipart form of at most {MOST_FORM_FIELDS} fields")
    try:
        boundary = _parameters({"Content-Type": content_type}).get_boundary("")
        if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
            raise refused
        start = b"--" + boundary.encode("latin-1", "replace")
        delimiter = b"\r\n" + start
        # Before parsing: the parser handles near misses of the delimiter, and blanks after it, byte by byte.
        if body.count(delimiter) > MOST_FORM_FIELDS + 1 or delimiter + b" " in body or delimiter + b"\t" in body:
            raise refused
        if not body.startswith(start):
            # Text before the first part is ignored, which the parser does not do itself.
            body = body[body.index(delimiter) + 2 :]
        form = _Form(start[2:])
        form.write(body)
    except (ValueError, FormParserError):
        raise refused from None
    if not form.fields or not form.complete:
        raise refused
    return form.fields


class _Form:
    """Collects the fields of a multipart form from the parser's callbacks.

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
        """Parse the next bytes.

        Raises:
            FormParserError: they are not a form.
            ValueError: a limit is exceeded, or a name or text can't be decoded.
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
            raise ValueError("part headers too long")

    def _header_end(self) -> None:
        # Of repeated headers the first one counts.
        self._headers.setdefault(self._name.decode("latin-1").lower(), self._value.decode("utf-8", "replace"))
        self._name, self._value = bytearray(), bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._content_bytes += end - start
        if self._content_bytes > LONGEST_FIELD:
            raise ValueError("field too large")
        self._content.append(data[start:end])

    def _end(self) -> None:
        head = _parameters(self._headers)
        name = head.get_param("name", header="content-disposition")
        if name is None:
            raise ValueError("part without a name")
        content = b"".join(self._content)
        is_file = head.get_filename() is not None
        self.fields[collapse_rfc2231_value(name)] = content if is_file else content.decode()

    def _last(self) -> None:
        self.complete = True


def _parameters(headers: Mapping[str, str]) -> Message:
    """The `headers` that have parameters, for the standard library to parse: it supports RFC 2231, which older clients
    use for file names, and python-multipart does not.

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
