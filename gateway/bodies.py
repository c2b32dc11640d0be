"""Request bodies: read up to a limit, then as a JSON object."""

from typing import Any

import orjson
from starlette.requests import Request

from mesh.errors import InvalidInput


class BodyTooLarge(InvalidInput):
    """The body is larger than this gateway takes."""


async def read(request: Request, max_bytes: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: more than `max_bytes`; reading stops there.
        InvalidInput: a compressed body.
    """
    if request.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise InvalidInput("compressed bodies are not taken; send the body as it is")
    if int(request.headers.get("content-length") or 0) > max_bytes:
        raise BodyTooLarge(f"the body is larger than {max_bytes} bytes; send smaller pictures")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge(f"the body is larger than {max_bytes} bytes; send smaller pictures")
    return bytes(body)


def json_object(body: bytes) -> dict[str, Any]:
    """`body` as a JSON object; of repeated names the last one counts.

    Raises:
        InvalidInput: not JSON (NaN, lone surrogates and bottomless nesting are none) or no object.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidInput("the body is not valid JSON") from None
    if not isinstance(value, dict):
        raise InvalidInput("the body must be a JSON object")
    return value
