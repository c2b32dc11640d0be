"""Decode and encode pictures: the container is examined before any decoder runs, and only what is needed reaches one.

Decoders' messages never reach a caller. A service decodes in processes of its own, see mesh.decoders; what is here runs
there, or where the bytes are our own.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mesh.containers import (
    MAX_BYTES,
    MAX_PIXELS,
    MAX_SIDE,
    MEDIA_TYPES,
    Format,
    Layout,
    check,
    examine,
    needed,
    sniff,
    upright_size,
)
from mesh.containers.rows import has_every_row, is_interlaced
from mesh.errors import InvalidInput

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "MEDIA_TYPES",
    "Format",
    "Ground",
    "Pixels",
    "Traits",
    "check",
    "decode",
    "decode_fitted",
    "encode",
    "encode_as",
    "inspect",
    "resize",
    "sniff",
    "upright_size",
]

Pixels = NDArray[np.uint8]

# Quality before size, speed before both: PNG's higher levels cost five times the CPU to save a tenth of the bytes.
_SAVE_OPTIONS: dict[str, dict[str, object]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95, "method": 0},
}
# Pixels that are converted at a time: beside a whole picture, a second whole one would be too much.
_STRIP = 1 << 16
# OpenCV refuses anything shorter, and a WebP of few pixels may be.
_LEAST_WEBP = 32
# An opacity from here on counts as visible, a luma from here on as light.
_HALF = 128

# Pillow loads its plugins at the first open; better at start-up than in the first request.
Image.preinit()
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class Ground(Enum):
    """What lies under transparent pixels; which one a picture has follows from its role."""

    WHITE = auto()
    """The paper of pictures and drawings."""
    BLACK = auto()
    """The ground of masks and of maps such as depth and pose: a value becomes light times opacity."""
    STROKES = auto()
    """Of a drawing that may be either: black under light strokes, white under dark ones."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a picture was like before it was made UINT8 RGB.

    Attributes:
        clear: share of its pixels that are more transparent than not, 0 to 1.
        light: of the others, share that is more light than dark, 0 to 1; 0 if there are none or nothing is transparent.
        deepest: greatest value of a picture of 16-bit grey; None for others.
    """

    clear: float = 0.0
    light: float = 0.0
    deepest: int | None = None


def decode(content: bytes, *, field: str = "image", ground: Ground = Ground.WHITE) -> Pixels:
    """Decode a picture to UINT8 [height, width, 3] RGB: upright by its orientation, transparency over `ground`.

    At its highest it takes 10 bytes a pixel and the file again; a JPEG of four components in several scans takes 12.

    Args:
        content: a PNG, JPEG or WebP file of at most MAX_BYTES and MAX_PIXELS; of an animation the first picture counts.
        field: name of the request's field, for the error.
        ground: what lies under transparent pixels.

    Raises:
        InvalidInput: too many bytes or pixels, an unknown format, a container that contradicts itself or its pixels, or
            a broken file.
    """
    return inspect(content, field=field, ground=ground)[0]


def decode_fitted(content: bytes, width: int, height: int, *, field: str = "image") -> Pixels:
    """As `decode`, resized to [height, width, 3] by `resize`."""
    return resize(decode(content, field=field), width, height)


def inspect(content: bytes, *, field: str = "image", ground: Ground = Ground.WHITE) -> tuple[Pixels, Traits]:
    """As `decode`, with what the picture was like."""
    layout = examine(content, field=field)
    try:
        pixels, traits = _flattened(content, layout, ground)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError):
        # The decoder's own message may contain addresses or paths.
        raise InvalidInput(f"cannot identify image file in {field}: it is broken or truncated", field=field) from None
    except MemoryError:
        raise InvalidInput(f"{field} takes more memory than a picture may; save it anew", field=field) from None
    return _upright(pixels, layout.orientation), traits


def _flattened(content: bytes, layout: Layout, ground: Ground) -> tuple[Pixels, Traits]:
    pure = needed(content, layout)
    del content
    if layout.format == "WEBP":
        return _over(_WebP(pure, layout), ground)
    with Image.open(io.BytesIO(pure), formats=[layout.format]) as picture:
        bands = len(picture.getbands())
        if picture.size != (layout.width, layout.height) or layout.components not in (0, bands):
            raise ValueError("the decoder finds another picture than the header declares")
        picture.load()
        if layout.format == "PNG" and not _reaches_its_end(picture, pure):
            raise ValueError("the data end before the last row")
        return _over(_Stored(picture), ground)


def _reaches_its_end(picture: Image.Image, content: bytes) -> bool:
    """Whether the data of a PNG reach to its last row: Pillow leaves rows black that do not come, and says nothing."""
    width, height = picture.size
    is_shown = picture.crop((0, height - 1, width, height)).getbbox() is not None
    return (is_shown and not is_interlaced(content)) or has_every_row(content)


class _Stored:
    """A picture as Pillow decoded it, read in strips."""

    def __init__(self, picture: Image.Image) -> None:
        self._picture = picture
        self._is_deep = picture.mode.startswith("I")
        self._clear = picture.info.get("transparency")
        self.size = picture.size
        self.has_alpha = "A" in picture.getbands() or self._clear is not None
        self.deepest = 0 if self._is_deep else None

    def strip(self, top: int, bottom: int) -> Image.Image:
        """The rows from `top` to `bottom`: RGBA if the picture has transparency, else RGB."""
        rows = self._picture.crop((0, top, self.size[0], bottom))
        if not self._is_deep:
            if isinstance(self._clear, tuple) and max(self._clear) > 255:
                # Colours of 16 bits are decoded to their upper 8, the transparent one is not.
                rows.info["transparency"] = tuple(value >> 8 for value in self._clear)
            return rows.convert("RGBA" if self.has_alpha else "RGB")
        # Pillow's own conversion clips 16-bit grey instead of scaling it.
        values = np.asarray(rows).astype(np.uint32)
        self.deepest = max(self.deepest or 0, int(values.max()))
        grey = Image.fromarray((values >> 8).clip(0, 255).astype(np.uint8))
        if not self.has_alpha:
            return grey.convert("RGB")
        clear = Image.fromarray(np.where(values == self._clear, 0, 255).astype(np.uint8))
        return Image.merge("RGBA", (grey, grey, grey, clear))


class _WebP:
    """A WebP as OpenCV decodes it, in place of Pillow, which keeps the canvas of an animation beside the picture."""

    deepest = None

    def __init__(self, content: bytes, layout: Layout) -> None:
        import cv2  # only services that decode pictures have it

        # What OpenCV finds odd in a file is not for the log of a service.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            found = cv2.imdecode(np.frombuffer(content.ljust(_LEAST_WEBP, b"\0"), np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            found = None
        told = layout.frame or layout
        if found is None or found.dtype != np.uint8 or found.shape[1::-1] != (told.width, told.height):
            raise ValueError("broken, or another picture than the header declares")
        self._frame = layout.frame
        self._stored: Pixels = found.astype(np.uint8, copy=False)
        self.size = layout.width, layout.height
        # What an animation's first picture leaves free of its canvas is transparent.
        self.has_alpha = found.shape[2] == 4 or layout.frame is not None

    def strip(self, top: int, bottom: int) -> Image.Image:
        """The rows from `top` to `bottom`: RGBA if the picture has transparency, else RGB."""
        if self._frame is None:
            return _swapped(self._stored[top:bottom])
        canvas = Image.new("RGBA", (self.size[0], bottom - top))
        first, last = max(top - self._frame.top, 0), bottom - self._frame.top
        if last > 0 and first < self._frame.height:
            canvas.paste(_swapped(self._stored[first:last]), (self._frame.left, max(self._frame.top - top, 0)))
        return canvas


def _swapped(rows: Pixels) -> Image.Image:
    order = [2, 1, 0, 3] if rows.shape[2] == 4 else [2, 1, 0]
    return Image.fromarray(np.ascontiguousarray(rows[..., order]))


def _over(stored: _Stored | _WebP, ground: Ground) -> tuple[Pixels, Traits]:
    width, height = stored.size
    traits = _traits(stored) if stored.has_alpha else Traits()
    is_black = ground is Ground.BLACK or (ground is Ground.STROKES and traits.light > 0.5)
    flat = np.empty((height, width, 3), np.uint8)
    for top, bottom in _strips(width, height):
        rows = stored.strip(top, bottom)
        if stored.has_alpha:
            under = Image.new("RGBA", rows.size, "black" if is_black else "white")
            rows = Image.alpha_composite(under, rows).convert("RGB")
        flat[top:bottom] = np.asarray(rows)
    return flat, Traits(traits.clear, traits.light, stored.deepest)


def _traits(stored: _Stored | _WebP) -> Traits:
    """Shares of clear pixels and, among the visible ones, of light ones."""
    width, height = stored.size
    visible = light = 0
    for top, bottom in _strips(width, height):
        rows = stored.strip(top, bottom)
        seen = np.asarray(rows.getchannel("A")) >= _HALF
        visible += int(np.count_nonzero(seen))
        light += int(np.count_nonzero(seen & (np.asarray(rows.convert("L")) >= _HALF)))
    return Traits(1 - visible / (width * height), light / visible if visible else 0.0)


def _strips(width: int, height: int) -> Iterator[tuple[int, int]]:
    rows = max(1, _STRIP // width)
    return ((top, min(top + rows, height)) for top in range(0, height, rows))


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror `pixels` as TIFF 6.0's orientation says."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def encode(pixels: Pixels, format: Format = "PNG") -> bytes:
    """Encode UINT8 [height, width, 3] RGB as a file."""
    return encode_as(pixels, format)


def encode_as(pixels: Pixels, format: str) -> bytes:
    """As `encode`, in any format that Pillow writes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format, **_SAVE_OPTIONS.get(format, {}))
    return out.getvalue()


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """Resize `pixels` UINT8 [h, w, 3] with Lanczos, as diffusers' VaeImageProcessor does; no crop."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
