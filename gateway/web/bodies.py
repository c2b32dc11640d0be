"""Request bodies: read up to a limit, then as a JSON object or as a form."""

import email
import email.policy
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request

from mesh.errors import InvalidInput

MOST_FORM_FIELDS = 200
_LONGEST_BOUNDARY = 70
_LONGEST_HEAD = 8192


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

    Raises:
        Malformed: not of that form, or too many fields.
    """
    # Split here and not by the standard library's parser, whose time grows with lines and nesting and not with bytes.
    refused = Malformed(f"the body is no multipart form of at most {MOST_FORM_FIELDS} fields")
    boundary = _header(f"Content-Type: {content_type}".encode("latin-1", "replace")).get_boundary("")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise refused
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    _, *parts = (b"\r\n" + body).split(delimiter, MOST_FORM_FIELDS + 1)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise refused
    fields: dict[str, Any] = {}
    for part in parts[:-1]:
        head, gap, content = part.partition(b"\r\n\r\n")
        if not gap or len(head) > _LONGEST_HEAD:
            raise refused
        header = _header(head.lstrip())
        name = header.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise refused
        try:
            fields[name] = content if header.get_filename() is not None else content.decode()
        except UnicodeDecodeError:
            raise refused from None
    return fields


def _header(lines: bytes) -> EmailMessage:
    message = email.message_from_bytes(lines + b"\r\n\r\n", policy=email.policy.HTTP)
    assert isinstance(message, EmailMessage)
    return message
