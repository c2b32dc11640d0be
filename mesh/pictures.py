"""Decode and encode pictures: check the header before any decoder runs, then use Pillow with an allow-list.

Every incoming byte may be hostile. The header check reads the declared size without allocating pixels, so that a small
file that declares a hundred megapixels is refused in microseconds. Decoder messages never reach a caller.
"""

import io
import struct
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mesh.errors import InvalidInput

Format = Literal["PNG", "JPEG", "WEBP"]
Pixels = NDArray[np.uint8]

MAX_BYTES = 16 * 1024 * 1024
MAX_PIXELS = 16_777_216
MAX_SIDE = 16_384

MEDIA_TYPES: dict[Format, str] = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}

# EXIF's tag, and its values for a picture that is turned by 90 degrees.
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)

# Quality before size, speed before both: PNG's higher levels cost five times the CPU to save a tenth of the bytes.
_SAVE_OPTIONS: dict[Format, dict[str, object]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "method": 0},
}

# Pillow loads its plugins at the first open; better at start-up than in the first request.
Image.preinit()
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


def sniff(content: bytes) -> tuple[Format, int, int] | None:
    """Format, width and height that the header of `content` declares, or None if it is not a PNG, JPEG or WebP."""
    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return "PNG", width, height
    if content[:3] == b"\xff\xd8\xff":
        size = _jpeg_size(content)
        return ("JPEG", *size) if size else None
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and len(content) >= 30:
        size = _webp_size(content)
        return ("WEBP", *size) if size else None
    return None


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(content):
        if content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
    return None


def _webp_size(content: bytes) -> tuple[int, int] | None:
    kind = content[12:16]
    if kind == b"VP8X":
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", content[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def decode(content: bytes, *, field: str = "image") -> Pixels:
    """Decode a picture to UINT8 [height, width, 3] RGB: upright by its EXIF tag, transparency over white.

    Args:
        content: a PNG, JPEG or WebP file of at most MAX_BYTES and MAX_PIXELS.
        field: name of the request's field, for the error.

    Raises:
        InvalidInput: too many bytes or pixels, an unknown format, or a broken file.
    """
    check(content, field=field)
    try:
        with Image.open(io.BytesIO(content), formats=tuple(MEDIA_TYPES)) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I;16") or upright.mode == "I":
                # Pillow's own conversion clips 16-bit grey instead of scaling it.
                grey = (np.asarray(upright, np.uint32) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            if "A" in upright.getbands() or "transparency" in upright.info:
                layer = upright.convert("RGBA")
                white = Image.new("RGBA", layer.size, "white")
                upright = Image.alpha_composite(white, layer)
            return np.asarray(upright.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError, MemoryError):
        # The decoder's own message may contain addresses or paths.
        raise InvalidInput(f"cannot identify image file in {field}: it is broken or truncated", field=field) from None


def check(content: bytes, *, field: str = "image") -> tuple[Format, int, int]:
    """Format, width and height of an acceptable picture, from its header alone.

    Raises:
        InvalidInput: empty, too many bytes or pixels, or not a PNG, JPEG or WebP header.
    """
    if not content:
        raise InvalidInput(f"{field} is empty; send a PNG, JPEG or WebP picture", field=field)
    if len(content) > MAX_BYTES:
        raise InvalidInput(f"{field} has {len(content)} bytes; at most {MAX_BYTES} are allowed", field=field)
    head = sniff(content)
    if head is None:
        raise InvalidInput(f"cannot identify image file in {field}: send a PNG, JPEG or WebP picture", field=field)
    _, width, height = head
    if width < 1 or height < 1 or width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise InvalidInput(
            f"{field} is {width}x{height} pixels; at most {MAX_PIXELS} in total and {MAX_SIDE} per side are allowed",
            field=field,
        )
    return head


def upright_size(content: bytes, *, field: str = "image") -> tuple[int, int]:
    """Width and height of an acceptable picture after `decode`, from its header and EXIF tag alone.

    Raises:
        InvalidInput: as `check`.
    """
    _, width, height = check(content, field=field)
    try:
        with Image.open(io.BytesIO(content), formats=tuple(MEDIA_TYPES)) as picture:
            # For a PNG without the chunk, Pillow would decode the whole file to look for it behind the pixels.
            turned = "exif" in picture.info and picture.getexif().get(_ORIENTATION) in _TURNED
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError):
        turned = False  # `decode` will say what is wrong
    return (height, width) if turned else (width, height)


def encode(pixels: Pixels, format: Format = "PNG") -> bytes:
    """Encode UINT8 [height, width, 3] RGB as a file."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format, **_SAVE_OPTIONS[format])
    return out.getvalue()


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """Resize `pixels` UINT8 [h, w, 3] with Lanczos, as diffusers' VaeImageProcessor does; no crop."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
