"""The segments and scans of a JPEG (ITU-T T.81)."""

from mesh.containers import orientation
from mesh.containers.layout import MAX_PIXELS, MOST_PIECES, Layout, Malformed, joined

SIGNATURE = b"\xff\xd8\xff"
MOST_SCANS = 32
"""Maximum number of scans: libjpeg's progressive files have 10, of four components 18; each costs a pass over all."""
_MOST_COMPONENTS_PIXELS = MAX_PIXELS * 10 // 12
# Markers in the entropy-coded data of all scans: stuffed bytes and restarts. Coded data have one in 256 bytes; with a
# restart a block there is one a block.
_MOST_MARKS = 300_000
_FILL = 64
# Frames that decoders of pictures know: baseline, extended and progressive, the latter two also arithmetic-coded.
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
_PROGRESSIVE = (0xC2, 0xCA)
_ARITHMETIC = (0xC9, 0xCA)
# A Huffman code has a bit at least, every block of 64 pixels has one in its first scan, and the finest component has a
# block for every four of them at least. Decoders fill what is missing with grey and say nothing.
_MOST_PIXELS_A_BYTE = 64 * 8 * 4
_TEM, _SOI, _EOI, _SOS, _APP0, _APP1, _APP14, _COMMENT = 0x01, 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xEE, 0xFE
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def read(content: bytes) -> Layout | None:
    """The layout of a file that begins as a JPEG; None if it ends or breaks off before its end marker.

    Raises:
        Malformed: the segments contradict one another, there are too many of them or of scans, the frame is of a kind
            that is not decoded here, or the file is too small for the pixels that it declares.
    """
    return _Reading(content).layout()


def size(content: bytes) -> tuple[int, int] | None:
    """Width and height in the first frame's header, in pixels; None if there is none where segments lead."""
    at = 2
    for _ in range(MOST_PIECES):
        if at + 9 >= len(content) or content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if _is_frame(marker):
            return int.from_bytes(content[at + 7 : at + 9], "big"), int.from_bytes(content[at + 5 : at + 7], "big")
        # A fill byte stands before a marker; other segments are passed over.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None


def _is_frame(marker: int) -> bool:
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)


class _Reading:
    """One file being read."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._marks = self._scans = 0
        self._frame: tuple[int, int, int, bool] | None = None
        self._is_arithmetic = False
        self._exif = self._xmp = 0

    def layout(self) -> Layout | None:
        content, at, pieces = self._content, 2, 0
        needed = [(0, 2)]
        end = 0
        while at + 2 <= len(content):
            start = at
            at = self._marker(at)
            if at == len(content):
                break
            marker = content[at + 1]
            pieces += 1
            if pieces > MOST_PIECES:
                raise Malformed(f"it has more than {MOST_PIECES} segments")
            if marker == _EOI:
                end = at + 2
                needed.append((start, end))
                break
            if marker in (0, _SOI):
                raise Malformed("a second picture or bytes of no segment are inside it")
            if marker == _TEM or 0xD0 <= marker <= 0xD7:
                at += 2
                continue
            after = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
            if after < at + 4:
                if self._frame is None or at + 4 > len(content):
                    break
                raise Malformed("a segment of it has no length")
            self._take(marker, content[at + 4 : after] if marker == _APP1 else content[at + 4 : at + 12])
            if marker == _SOS:
                after = self._behind_scan(after)
            if not (_APP0 < marker < 0xF0 and marker != _APP14) and marker != _COMMENT:
                needed.append((start, min(after, len(content))))
            at = after
        if self._frame is None or not end:
            return None
        width, height, components, _ = self._frame
        if not self._is_arithmetic and end * _MOST_PIXELS_A_BYTE < width * height:
            raise Malformed(f"its header says {width}x{height} pixels, for which its data are too few")
        turned = orientation.settled(self._exif, self._xmp)
        return Layout("JPEG", width, height, end, turned, components, joined(needed))

    def _marker(self, at: int) -> int:
        """Where the next marker is: at `at`, or behind fill bytes there."""
        content = self._content
        for place in range(at, at + _FILL):
            if content[place : place + 1] != b"\xff":
                break
            if content[place + 1 : place + 2] != b"\xff":
                return place if place + 1 < len(content) else len(content)
        raise Malformed("there are bytes of no segment in it")

    def _take(self, marker: int, body: bytes) -> None:
        if _is_frame(marker):
            self._take_frame(marker, body)
        elif marker == _SOS:
            self._scans += 1
            if self._frame is None:
                raise Malformed("a scan comes before its header")
            if self._scans > MOST_SCANS:
                raise Malformed(f"it has more than {MOST_SCANS} scans")
            width, height, components, is_progressive = self._frame
            is_kept_whole = is_progressive or self._scans > 1
            if components == 4 and is_kept_whole and width * height > _MOST_COMPONENTS_PIXELS:
                raise Malformed(f"with four components in several scans it may have {_MOST_COMPONENTS_PIXELS} pixels")
        elif marker == _APP1 and body[:4] == b"Exif":
            self._exif = self._exif or orientation.of_exif(body)
        elif marker == _APP1 and body.startswith(_XMP):
            self._xmp = self._xmp or orientation.of_xmp(body)

    def _take_frame(self, marker: int, body: bytes) -> None:
        if self._frame is not None:
            raise Malformed("it has two headers")
        if len(body) < 6:
            raise Malformed("its header is cut off")
        precision, components = body[0], body[5]
        height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
        if marker not in _FRAMES:
            raise Malformed("it is a lossless or hierarchical JPEG; save it as a baseline or progressive one")
        if precision != 8 or components not in (1, 3, 4):
            raise Malformed(f"it has {components} components of {precision} bits; 1, 3 or 4 of 8 bits are read")
        if height == 0:
            raise Malformed("its height stands behind the pixels, or is 0")
        self._frame = width, height, components, marker in _PROGRESSIVE
        self._is_arithmetic = marker in _ARITHMETIC

    def _behind_scan(self, at: int) -> int:
        """Where the entropy-coded data that begin at `at` end: at a marker that is not of theirs."""
        content, find = self._content, self._content.find
        while (at := find(b"\xff", at)) >= 0:
            following = content[at + 1] if at + 1 < len(content) else 0
            if following and not 0xD0 <= following <= 0xD7:
                return at
            self._marks += 1
            if self._marks > _MOST_MARKS:
                raise Malformed("its coded data have more restarts or stuffed bytes than a picture needs")
            at += 2
        return len(content)
