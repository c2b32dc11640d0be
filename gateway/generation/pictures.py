"""Reads picture fields of requests: data URL, base64 or http(s) URL to checked bytes. No pixels are decoded here."""

import asyncio
import re

import pybase64

from gateway.egress.fetch import Fetcher
from mesh.containers import MAX_BYTES, accepted
from mesh.errors import InvalidInput

_MAX_CHARACTERS = (MAX_BYTES + 2) // 3 * 4
_DATA_URL = re.compile(r"data:[a-z0-9.+/-]*(?:;[a-z0-9=.+-]+)*;base64,", re.IGNORECASE)
_BREAKS = str.maketrans("", "", "\r\n")
# Examining more than this is worth a thread: until then it takes less than a millisecond.
_LARGE = 256 * 1024


class Pictures:
    """Reads pictures in every form that requests may have them.

    Args:
        fetcher: fetches pictures from URLs.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def read(self, value: object, field: str) -> bytes:
        """The encoded picture that `value` holds or refers to; its container is examined, and what is
        behind the picture's end left out.

        Args:
            value: a data URL, base64, an http(s) URL, or the file itself.
            field: name of the request's field, for the error.

        Raises:
            InvalidInput: not a picture, badly encoded, too large, or the URL can't be fetched.
        """
        if isinstance(value, bytes):
            return await checked(value, field)
        if not isinstance(value, str) or not value:
            raise InvalidInput(f"{field} must be a picture: base64, a data URL or an http(s) URL", field=field)
        if value[:8].lower().startswith(("http://", "https://")):
            content = await self._fetcher.fetch(value, field)
        else:
            content = decode_base64(value, field)
        return await checked(content, field)


async def checked(content: bytes, field: str) -> bytes:
    """The picture without what is behind its end. Raises InvalidInput if its container is none, or not sound."""
    if len(content) <= _LARGE:
        return accepted(content, field=field)
    return await asyncio.to_thread(accepted, content, field=field)


def decode_base64(value: str, field: str) -> bytes:
    """Decode base64 text, with or without a data URL's prefix and line breaks.

    Raises:
        InvalidInput: other characters, wrong padding, or too long.
    """
    head = _DATA_URL.match(value[:256])
    # Line breaks do not count towards the limit; but beyond twice the limit they are not removed to find out.
    if len(value) <= 2 * _MAX_CHARACTERS:
        value = (value[head.end() :] if head else value).strip().translate(_BREAKS)
    if len(value) > _MAX_CHARACTERS:
        raise InvalidInput(f"{field} is larger than {MAX_BYTES} bytes; send a smaller picture", field=field)
    try:
        return pybase64.b64decode(value, validate=True)
    except ValueError:
        raise InvalidInput(
            f"{field} is neither an http(s) URL, a data URL nor valid base64 with its padding", field=field
        ) from None
