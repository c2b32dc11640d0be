"""Reads picture fields of requests: data URL, base64 or http(s) URL to checked bytes. No pixels are decoded here."""

import re

import pybase64

from gateway.egress.fetch import Fetcher
from mesh.containers import MAX_BYTES, examined
from mesh.errors import InvalidInput
from mesh.quantities import sized

_MAX_CHARACTERS = (MAX_BYTES + 2) // 3 * 4
_LONGEST_HEAD = 4096
# RFC 2397, whose parameters may hold anything: percent-encoded, as it says, or quoted, as some senders have them. The
# second form is for a quotation mark without its other half.
_HEADS = tuple(
    re.compile(rf"data:{parameters}*?;[ \t]*base64[ \t]*,", re.IGNORECASE | re.DOTALL)
    for parameters in (r'(?:[^,"]|"(?:[^"\\]|\\.)*+")', r"[^,]")
)
_SCHEME = re.compile(r"(?!data:)([a-z][a-z0-9+.-]{1,15}):(?!\\)", re.IGNORECASE)
_PATH = re.compile(r"(?:[a-z]:)?[\\/.~]|[^/]{1,100}\.(?:png|jpe?g|webp|gif|bmp|tiff?)\Z", re.IGNORECASE)
_OTHER = re.compile(r"[^A-Za-z0-9+/]")
_ENCODED = {"%2B": "+", "%2b": "+", "%2F": "/", "%2f": "/", "%3D": "=", "%3d": "="}
_FETCHED = ("http", "https")
_URL_STARTS = tuple(f"{scheme}://" for scheme in _FETCHED)
_AS_BASE64 = "send the picture's bytes as base64, with or without the head of a data URL"


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
        if is_url(value):
            content = await self._fetcher.fetch(value.strip(), field)
        else:
            content = decode_base64(value, field, urls=True)
        return await checked(content, field)


async def checked(content: bytes, field: str) -> bytes:
    """The picture without what is behind its end. Raises InvalidInput if its container is none, or not sound."""
    return content[: (await examined(content, field=field)).end]


def is_url(value: str) -> bool:
    """Whether `value` is an http(s) URL, blanks before it aside."""
    return value[:_LONGEST_HEAD].lstrip()[:8].lower().startswith(_URL_STARTS)


def decode_base64(value: str, field: str, *, urls: bool = False) -> bytes:
    """Decode base64 text, with or without a data URL's head.

    Line breaks and blanks are left out, padding may be missing, and the alphabet may be that for URLs (RFC 4648,
    section 5) or percent-encoded. Blanks that a form made of plus signs become plus signs again.

    Args:
        value: the text.
        field: name of the request's field, for the error.
        urls: whether the field takes http(s) URLs beside it, for the error.

    Raises:
        InvalidInput: other characters, a length that no padding mends, too long, or a data URL without base64.
    """
    text = value[_head_length(value, field) :]
    if len(text) <= 2 * _MAX_CHARACTERS:
        # Line breaks do not count towards the limit; but beyond twice the limit they are not removed to find out.
        text = _joined(text)
    if len(text) > _MAX_CHARACTERS:
        raise InvalidInput(f"{field} is larger than {sized(MAX_BYTES)}; send a smaller picture", field=field)
    digits = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return pybase64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        raise InvalidInput(f"{field} {_fault(value.strip(), digits, urls)}", field=field) from None


def _head_length(value: str, field: str) -> int:
    """Length of a data URL's head, with the blanks before it; 0 for plain base64.

    Raises:
        InvalidInput: a data URL whose content is not base64.
    """
    start = value[:_LONGEST_HEAD]
    blanks = len(start) - len(start.lstrip())
    if start[blanks : blanks + 5].lower() != "data:":
        return 0
    for pattern in _HEADS:
        if head := pattern.match(start, blanks):
            return head.end()
    raise InvalidInput(f"{field} is a data URL without `;base64`; send the picture's bytes as base64", field=field)


def _joined(text: str) -> str:
    """`text` without blanks and line breaks."""
    if "%" in text:
        for code, character in _ENCODED.items():
            text = text.replace(code, character)
    lines = text.split()
    joined = "".join(lines)
    if len(lines) < 2 or "\n" in text.strip() or "\t" in text.strip():
        return joined
    # Blanks alone: either the lines were joined by them, or a form has turned plus signs into them. The length tells.
    lost = "+".join(text.strip().split(" "))
    even = len({len(line) for line in lines[:-1]}) == 1 and len(lines[-1]) <= len(lines[0])
    return lost if len(lost) % 4 == 0 and (len(joined) % 4 or not even) else joined


def _fault(value: str, digits: str, urls: bool) -> str:
    """What is wrong with text that is no picture, without repeating it."""
    if scheme := _SCHEME.match(value[:32]):
        if not urls:
            return f"has a URL of the scheme {scheme[1]!r}, and URLs are not fetched for it; {_AS_BASE64}"
        if scheme[1].lower() in _FETCHED:
            return f"has a URL without a host; it must begin with {scheme[1].lower()}:// and the host's name"
        return f"has a URL of the scheme {scheme[1]!r}; pictures are read from http, https and data URLs"
    if _PATH.match(value[:256]) and not value.startswith("/9j/"):
        return "looks like the path of a file, which can't be read from here; send the file's bytes as base64"
    why = f"it has {len(digits)} characters, one too many or several too few"
    if other := _OTHER.search(digits):
        why = f"character {other.start() + 1} is {other[0]!r}"
    return f"is neither {'an http(s) URL, ' if urls else ''}a data URL nor valid base64: {why}"
