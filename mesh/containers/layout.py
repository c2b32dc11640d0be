"""What every container of a picture has: limits, a size, an orientation, an end, and the bytes that a decoder needs."""

from dataclasses import dataclass
from typing import Literal

Format = Literal["PNG", "JPEG", "WEBP"]

MAX_BYTES = 16 * 1024 * 1024
MAX_PIXELS = 16_777_216
MAX_SIDE = 16_384
MOST_PIECES = 8192
"""Maximum number of chunks of a PNG or WebP, or segments of a JPEG: writers cut 16 MiB into 4 kB at the least."""

MEDIA_TYPES: dict[Format, str] = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}

# Orientations (TIFF 6.0's tag 274) that exchange width and height.
_LYING = (5, 6, 7, 8)


class Malformed(Exception):
    """A container contradicts itself or exceeds a bound; the message says how, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the first picture of an animation lies on its canvas, pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A container as it was read, without decoding a pixel.

    Attributes:
        format: of the container.
        width, height: of the pixels as they are stored.
        end: number of bytes up to the picture's end; what is behind it belongs to no picture.
        orientation: 1 to 8 as in TIFF 6.0, from whichever carrier has one; 1 for none.
        components: of a JPEG; 0 otherwise.
        needed: (from, to) of the bytes that a decoder needs, in order, without metadata.
        before: bytes to put before them.
        frame: where the pixels lie on the canvas, if they do not cover it.
    """

    format: Format
    width: int
    height: int
    end: int
    orientation: int = 1
    components: int = 0
    needed: tuple[tuple[int, int], ...] = ()
    before: bytes = b""
    frame: Frame | None = None

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the picture as people see it."""
        return (self.height, self.width) if self.orientation in _LYING else (self.width, self.height)


def needed(content: bytes, layout: Layout) -> bytes:
    """The bytes that a decoder needs: the picture without metadata, further frames and what is behind its end."""
    if not layout.before and layout.needed == ((0, len(content)),):
        return content
    return layout.before + b"".join(content[start:end] for start, end in layout.needed)


def joined(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges in order, those that touch made one."""
    whole: list[tuple[int, int]] = []
    for start, end in ranges:
        if whole and whole[-1][1] == start:
            whole[-1] = (whole[-1][0], end)
        else:
            whole.append((start, end))
    return tuple(whole)
