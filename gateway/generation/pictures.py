"""Reads picture fields of requests: data URL, base64 or http(s) URL to checked bytes. No pixels are decoded here."""

import re

import pybase64

from gateway.egress.fetch import Fetcher
from mesh.errors import InvalidInput
from mesh.pictures import MAX_BYTES, check

_MAX_CHARACTERS = (MAX_BYTES + 2) // 3 * 4
_DATA_URL = re.compile(r"data:[a-z0-9.+/-]*(?:;[a-z0-9=.+-]+)*;base64,", re.IGNORECASE)
_BREAKS = str.maketrans("", "", "\r\n")


class Pictures:
    """Reads pictures in every form that requests may have them.

    Args:
        fetcher: fetches pictures from URLs.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def read(self, value: object, field: str) -> bytes:
        """The encoded picture that `value` holds or refers to; its format and size are checked by its header.

        Args:
            value: a data URL, base64, an http(s) URL, or the file itself.
            field: name of the request's field, for the error.

        Raises:
            InvalidInput: not a picture, badly encoded, too large, or the URL can't be fetched.
        """
        if isinstance(value, bytes):
            check(value, field=field)
            return value
        if not isinstance(value, str) or not value:
            raise InvalidInput(f"{field} must be a picture: base64, a data URL or an http(s) URL", field=field)
        if value[:8].lower().startswith(("http://", "https://")):
            content = await self._fetcher.fetch(value, field, only_pictures=True)
        else:
            content = decode_base64(value, field)
        check(content, field=field)
        return content


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
