"""The chunks of a PNG (ISO/IEC 15948, with eXIf and APNG of its third edition)."""

import zlib

from mesh.containers import orientation
from mesh.containers.layout import MOST_PIECES, Layout, Malformed, joined

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Colour type -> bit depths.
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")
_XMP = b"XML:com.adobe.xmp"
# Bytes that a picture's compressed texts and colour profile may have in all; printers' have one MiB.
_MOST_INFLATED = 4 * 1024 * 1024
# What ImageMagick and older versions of other programs put EXIF and XMP into: text of a length and hexadecimal digits.
_RAW_EXIF, _RAW_XMP = (b"Raw profile type exif", b"Raw profile type APP1"), b"Raw profile type xmp"


def read(content: bytes) -> Layout | None:
    """The layout of a file that begins as a PNG; None if it ends before its last chunk does.

    Raises:
        Malformed: the chunks contradict one another, or there are too many of them, or they inflate to too much.
    """
    return _Reading(content).layout()


class _Reading:
    """One file being read."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._room = _MOST_INFLATED
        self._exif = self._xmp = 0

    def layout(self) -> Layout | None:
        content, at, pieces = self._content, len(SIGNATURE), 0
        needed = [(0, at)]
        end = 0
        while at + 8 <= len(content):
            length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
            after = at + 12 + length
            pieces += 1
            if pieces > MOST_PIECES:
                raise Malformed(f"it has more than {MOST_PIECES} chunks")
            if (kind == b"IHDR") != (pieces == 1):
                raise Malformed("its header does not come first, or comes twice")
            if pieces == 1:
                self._check_header(length)
            if kind in _CRITICAL or kind == b"tRNS":
                needed.append((at, min(after, len(content))))
            elif not kind[:1].islower():
                raise Malformed(f"it has a chunk {kind.decode('ascii', 'replace')!r}, which is not of a PNG")
            elif after <= len(content):
                self._take(kind, content[at + 8 : after - 4] if kind in _READ else b"")
            if after > len(content):
                return None
            if kind == b"IEND":
                end = after
                break
            at = after
        if not end:
            return None
        width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))
        turned = orientation.settled(self._exif, self._xmp)
        return Layout("PNG", width, height, end, turned, needed=joined(needed))

    def _check_header(self, length: int) -> None:
        depth, colour, compression, filtering, interlace = self._content[24:29].ljust(5, b"\0")
        if length != 13 or (len(self._content) >= 29 and depth not in _DEPTHS.get(colour, ())):
            raise Malformed("its header names a bit depth or colour type that PNG does not have")
        if compression or filtering or interlace > 1:
            raise Malformed("its header names a compression, filter or interlacing that PNG does not have")

    def _take(self, kind: bytes, body: bytes) -> None:
        """Read what says how the picture is turned; whatever is compressed must inflate to little."""
        if kind == b"eXIf":
            self._exif = self._exif or orientation.of_exif(body)
            return
        if kind not in _READ:
            return
        name, _, rest = body.partition(b"\0")
        text = self._text(kind, rest)
        if name == _XMP:
            self._xmp = self._xmp or orientation.of_xmp(text)
        elif name in _RAW_EXIF:
            block = _unprinted(text)
            self._exif = self._exif or orientation.of_exif(block)
            self._xmp = self._xmp or (orientation.of_xmp(block) if b"/xap/" in block[:40] else 0)
        elif name == _RAW_XMP:
            self._xmp = self._xmp or orientation.of_xmp(_unprinted(text))

    def _text(self, kind: bytes, rest: bytes) -> bytes:
        if kind == b"iTXt":
            is_compressed, rest = rest[:1] == b"\1", rest[2:]
            rest = rest.partition(b"\0")[2].partition(b"\0")[2]  # language, translated keyword
            return self._inflated(rest) if is_compressed else rest
        return self._inflated(rest[1:]) if kind in _COMPRESSED else rest

    def _inflated(self, packed: bytes) -> bytes:
        try:
            text = zlib.decompressobj().decompress(packed, self._room + 1)
        except zlib.error:
            return b""
        self._room -= len(text)
        if self._room < 0:
            raise Malformed(f"its compressed texts and colour profile have more than {_MOST_INFLATED} bytes")
        return text


_READ = (b"eXIf", b"tEXt", *_COMPRESSED)


def _unprinted(text: bytes) -> bytes:
    """The block that a raw profile prints as: a name, a length, then hexadecimal digits in lines."""
    lines = text.strip().split(b"\n", 2)
    try:
        return bytes.fromhex(lines[2].decode("ascii")) if len(lines) == 3 else b""
    except ValueError:
        return b""
