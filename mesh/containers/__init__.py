"""Files of pictures, read without decoding a pixel: format, size, orientation, end, and whether they are sound.

Every incoming byte may be hostile. The size that a header declares is read without allocating pixels, so that a small
file that declares a hundred megapixels is refused in microseconds; chunks, segments, scans and compressed texts are
counted before any decoder sees them.
"""

import asyncio

from mesh.containers import jpeg, png, webp
from mesh.containers.layout import (
    MAX_BYTES,
    MAX_PIXELS,
    MAX_SIDE,
    MEDIA_TYPES,
    MOST_PIECES,
    Format,
    Frame,
    Layout,
    Malformed,
    needed,
)
from mesh.errors import InvalidInput

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "MEDIA_TYPES",
    "Format",
    "Frame",
    "Layout",
    "accepted",
    "check",
    "examine",
    "examined",
    "head",
    "needed",
    "sniff",
    "upright_size",
]

# Examining more than this is worth a thread: until then it takes less than a millisecond.
_LARGE = 256 * 1024


def sniff(content: bytes) -> tuple[Format, int, int] | None:
    """Format, width and height that the header of `content` declares, or None if it is not a PNG, JPEG or WebP."""
    if content[:8] == png.SIGNATURE and content[12:16] == b"IHDR" and len(content) >= 24:
        return "PNG", int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
    if content[:3] == jpeg.SIGNATURE:
        size = jpeg.size(content)
        return ("JPEG", *size) if size else None
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and len(content) >= 30:
        size = webp.size(content)
        return ("WEBP", *size) if size else None
    return None


def head(content: bytes, *, field: str = "image") -> tuple[Format, int, int]:
    """Format, width and height of a picture from its header alone.

    Raises:
        InvalidInput: empty, too many bytes or pixels, or not a PNG, JPEG or WebP header.
    """
    if not content:
        raise InvalidInput(f"{field} is empty; send a PNG, JPEG or WebP picture", field=field)
    if len(content) > MAX_BYTES:
        raise InvalidInput(f"{field} has {len(content)} bytes; at most {MAX_BYTES} are allowed", field=field)
    found = sniff(content)
    if found is None:
        what = "send a PNG, JPEG or WebP picture"
        if content[: len(jpeg.SIGNATURE)] == jpeg.SIGNATURE:
            what = f"no size is in the first {MOST_PIECES} segments of this JPEG; save it anew"
        raise InvalidInput(f"cannot identify image file in {field}: {what}", field=field)
    _, width, height = found
    if width < 1 or height < 1 or width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise InvalidInput(
            f"{field} is {width}x{height} pixels; at most {MAX_PIXELS} in total and {MAX_SIDE} per side are allowed",
            field=field,
        )
    return found


def examine(content: bytes, *, field: str = "image") -> Layout:
    """The layout of an acceptable picture. The time it takes is bounded: 50 ms for the worst 16 MiB.

    Raises:
        InvalidInput: as `head`; or its container contradicts itself or exceeds a bound, such as that of scans.
    """
    format, width, height = head(content, field=field)
    read = {"PNG": png.read, "JPEG": jpeg.read, "WEBP": webp.read}[format]
    try:
        layout = read(content)
    except Malformed as error:
        raise InvalidInput(f"cannot identify image file in {field}: {error}", field=field) from None
    if layout is None or (layout.width, layout.height) != (width, height):
        raise InvalidInput(f"cannot identify image file in {field}: it is broken or truncated", field=field)
    return layout


async def examined(content: bytes, *, field: str = "image") -> Layout:
    """As `examine`, in a thread if the file is large enough for it to be worth one."""
    if len(content) <= _LARGE:
        return examine(content, field=field)
    return await asyncio.to_thread(examine, content, field=field)


def check(content: bytes, *, field: str = "image") -> tuple[Format, int, int]:
    """Format, width and height of an acceptable picture, as its header has them. Raises InvalidInput as `examine`."""
    layout = examine(content, field=field)
    return layout.format, layout.width, layout.height


def accepted(content: bytes, *, field: str = "image") -> bytes:
    """The file up to the picture's end: what is behind it belongs to no picture. Raises InvalidInput as `examine`."""
    return content[: examine(content, field=field).end]


def upright_size(content: bytes, *, field: str = "image") -> tuple[int, int]:
    """Width and height of an acceptable picture as people see it, turned by its orientation.

    Raises:
        InvalidInput: as `examine`.
    """
    return examine(content, field=field).upright
