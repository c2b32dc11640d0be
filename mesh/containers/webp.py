"""The chunks of a WebP (RFC 9649)."""

from mesh.containers import orientation
from mesh.containers.layout import MOST_PIECES, Format, Frame, Layout, Malformed

_FORMAT: Format = "WEBP"
_HEAD = 12
_ALPHA = 0x10
_FRAME_HEAD = 16


def read(content: bytes) -> Layout | None:
    """The layout of a file that begins as a WebP; None if its first chunk is none of a picture.

    Of an animation the first picture counts. None also for a file that is cut off.

    Raises:
        Malformed: the chunks contradict one another, or there are too many of them.
    """
    canvas = size(content)
    if canvas is None:
        return None
    length = int.from_bytes(content[4:8], "little")
    if 8 + length > len(content):
        return None
    end = min(len(content), 8 + _padded(length))
    is_extended = content[12:16] == b"VP8X"
    image: list[tuple[bytes, int, int]] = []
    frame: Frame | None = None
    exif = xmp = 0
    for pieces, (kind, at, after) in enumerate(_chunks(content, _HEAD, end)):
        if pieces > MOST_PIECES:
            raise Malformed(f"it has more than {MOST_PIECES} chunks")
        if kind in (b"VP8 ", b"VP8L", b"ALPH") and frame is None:
            image.append((kind, at, after))
        elif kind == b"ANMF" and frame is None:
            if image:
                raise Malformed("it is both one picture and an animation")
            frame = _placed(content, at + 8, canvas)
            image = list(_chunks(content, at + 8 + _FRAME_HEAD, after))
        elif kind == b"EXIF":
            exif = exif or orientation.of_exif(content[at + 8 : after])
        elif kind == b"XMP ":
            xmp = xmp or orientation.of_xmp(content[at + 8 : after])
    pixels = [part for part in image if part[0] in (b"VP8 ", b"VP8L")]
    if len(pixels) > 1:
        raise Malformed("it holds two pictures at once")
    told = (frame.width, frame.height) if frame else canvas
    for kind, at, _ in pixels:
        if (found := _stored_size(kind, content, at)) is not None and found != told:
            raise Malformed(f"its header says {told[0]}x{told[1]} pixels, its data {found[0]}x{found[1]}")
    if frame == Frame(0, 0, *canvas):
        frame = None
    parts = [(at, after) for kind, at, after in image if kind in (b"ALPH", b"VP8 ", b"VP8L")]
    before = _before(parts, told, content[20] & _ALPHA if is_extended else None)
    turned = orientation.settled(exif, xmp)
    return Layout(_FORMAT, *canvas, end, turned, needed=tuple(parts), before=before, frame=frame)


def size(content: bytes) -> tuple[int, int] | None:
    """Width and height in the first chunk, in pixels; None if it is none of a picture."""
    kind = content[12:16]
    if kind == b"VP8X":
        return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
    return _stored_size(kind, content, _HEAD)


def _stored_size(kind: bytes, content: bytes, at: int) -> tuple[int, int] | None:
    """Width and height in the head of the coded pixels whose chunk begins at `at`; None if it is cut off or no head."""
    body = content[at + 8 : at + 18]
    if kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(body) == 10:
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


def _chunks(content: bytes, at: int, end: int) -> list[tuple[bytes, int, int]]:
    """(name, begin, end) of the chunks between `at` and `end`, at most one more than may be; the last may be cut."""
    found: list[tuple[bytes, int, int]] = []
    while at + 8 <= end and len(found) <= MOST_PIECES + 1:
        after = at + 8 + _padded(int.from_bytes(content[at + 4 : at + 8], "little"))
        found.append((content[at : at + 4], at, min(after, end)))
        at = after
    return found


def _placed(content: bytes, at: int, canvas: tuple[int, int]) -> Frame:
    """The place of the frame whose head is at `at`."""
    left, top, wide, high = (int.from_bytes(content[at + 3 * i : at + 3 * i + 3], "little") for i in range(4))
    frame = Frame(left * 2, top * 2, wide + 1, high + 1)
    if frame.left + frame.width > canvas[0] or frame.top + frame.height > canvas[1]:
        raise Malformed("the first picture of its animation lies outside of its canvas")
    return frame


def _before(parts: list[tuple[int, int]], told: tuple[int, int], alpha: int | None) -> bytes:
    """The head of a file of one picture made of `parts`; `alpha` is None for the simple format."""
    extended = b""
    if alpha is not None:
        width, height = (side - 1 for side in told)
        body = bytes([alpha, 0, 0, 0]) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
        extended = b"VP8X" + len(body).to_bytes(4, "little") + body
    length = 4 + len(extended) + sum(after - at for at, after in parts)
    return b"RIFF" + length.to_bytes(4, "little") + b"WEBP" + extended


def _padded(length: int) -> int:
    return length + (length & 1)
