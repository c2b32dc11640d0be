"""Files of pictures, whole and broken: what the intake is fuzzed with."""

import io
import struct
import zlib
from functools import cache

import numpy as np
from hypothesis import strategies as st
from PIL import Image

_SIDE = (24, 17)


def _saved(picture: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()


@cache
def whole() -> dict[str, bytes]:
    """Name -> a file that decodes: every mode, compression and oddity of PNG, JPEG and WebP that Pillow writes."""
    noise = np.random.default_rng(1).integers(0, 256, (*_SIDE[::-1], 4), np.uint8)
    colour, clear = Image.fromarray(noise[..., :3]), Image.fromarray(noise)
    deep = Image.fromarray(np.random.default_rng(2).integers(0, 65536, _SIDE[::-1], np.uint16))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "turned"
    paletted = colour.quantize(16)
    modes = {mode: clear.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")}
    files = {f"png {mode}": _saved(picture, "PNG") for mode, picture in modes.items()}
    frames = [colour.rotate(90 * turn) for turn in range(1, 3)]
    files |= {
        "png 16 bit": _saved(deep, "PNG"),
        "png transparent palette": _saved(paletted, "PNG", transparency=3),
        "png transparent colour": _saved(colour, "PNG", transparency=(1, 2, 3)),
        "png exif": _saved(colour, "PNG", exif=exif, dpi=(72, 72)),
        "png animated": _saved(colour, "PNG", save_all=True, append_images=frames),
        "jpeg": _saved(colour, "JPEG"),
        "jpeg progressive": _saved(colour, "JPEG", progressive=True, subsampling=0),
        "jpeg grey": _saved(colour.convert("L"), "JPEG"),
        "jpeg cmyk": _saved(colour.convert("CMYK"), "JPEG"),
        "jpeg exif": _saved(colour, "JPEG", exif=exif, comment=b"words", restart_marker_blocks=1),
        "webp": _saved(colour, "WEBP"),
        "webp lossless": _saved(colour, "WEBP", lossless=True),
        "webp alpha": _saved(clear, "WEBP"),
        "webp exif": _saved(colour, "WEBP", exif=exif),
        "webp animated": _saved(colour, "WEBP", save_all=True, append_images=frames, duration=40),
    }
    return files


def with_sums(content: bytes) -> bytes:
    """A PNG whose chunks' checksums are right again, so that what was changed in them is read."""
    out, at = bytearray(content[:8]), 8
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kind_and_words = content[at + 4 : at + 8 + length]
        out += content[at : at + 4] + kind_and_words + struct.pack(">I", zlib.crc32(kind_and_words))
        at += 12 + length
    return bytes(out)


_ODD = (0, 1, 4, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A file with up to eight changes: bytes flipped, numbers made odd, pieces cut, doubled or taken from another."""
    content = bytearray(draw(st.sampled_from(sorted(whole().items())))[1])
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(1, 24))
        match draw(st.sampled_from(("flip", "odd", "cut", "double", "end", "graft", "noise"))):
            case "flip":
                content[at : at + 1] = bytes([content[at] ^ (1 << draw(st.integers(0, 7)))]) if content else b""
            case "odd":
                width = draw(st.sampled_from((1, 2, 4)))
                value = draw(st.sampled_from(_ODD)) % (1 << 8 * width)
                content[at : at + width] = value.to_bytes(width, draw(st.sampled_from(("big", "little"))))
            case "cut":
                del content[at : at + length]
            case "double":
                content[at:at] = content[at : at + length]
            case "end":
                del content[at:]
            case "graft":
                other = draw(st.sampled_from(sorted(whole().items())))[1]
                start = draw(st.integers(0, len(other) - 1))
                content[at : at + length] = other[start : start + length]
            case "noise":
                content[at : at + length] = draw(st.binary(max_size=length))
    return with_sums(bytes(content)) if content[:4] == b"\x89PNG" and draw(st.booleans()) else bytes(content)
