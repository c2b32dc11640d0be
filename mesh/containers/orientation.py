"""A picture's orientation, from EXIF or XMP: bounded reading, no parser that follows what the file says.

Sources: TIFF 6.0 (tag 274) and EXIF 2.32 for the directory; the XMP specification, part 2 (tiff:Orientation).
"""

import re
import struct

_TAG = 0x0112
# Directories of cameras have some dozens of entries.
_MOST_ENTRIES = 512
_MOST_XMP_BYTES = 1024 * 1024
_NAMESPACE = re.compile(rb"xmlns:([A-Za-z_][\w.-]{0,31})\s{0,8}=\s{0,8}[\"']http://ns\.adobe\.com/tiff/1\.0/[\"']")
_VALUE = rb":Orientation\s{0,8}(?:=\s{0,8}[\"']\s{0,8}|>\s{0,8})([1-8])(?!\d)"
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}


def settled(exif: int, xmp: int) -> int:
    """The orientation to use: EXIF's where it has one, as the Metadata Working Group has it; else XMP's; else 1."""
    return exif or xmp or 1


def of_exif(block: bytes) -> int:
    """Orientation in the first directory of a TIFF structure, with or without "Exif" before it; 0 if there is none.

    Only that directory is read: links to others are not followed.
    """
    if block[:4] == b"Exif":
        block = block[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return 0
    (at,) = struct.unpack_from(f"{order}I", block, 4)
    if at + 2 > len(block):
        return 0
    (count,) = struct.unpack_from(f"{order}H", block, at)
    for entry in range(at + 2, at + 2 + 12 * min(count, _MOST_ENTRIES), 12):
        if entry + 12 > len(block):
            return 0
        tag, kind, values = struct.unpack_from(f"{order}HHI", block, entry)
        if tag == _TAG:
            if kind not in _NUMBERS or values != 1:
                return 0
            (value,) = struct.unpack_from(order + _NUMBERS[kind], block, entry + 8)
            return value if 1 <= value <= 8 else 0
    return 0


def of_xmp(packet: bytes) -> int:
    """tiff:Orientation in an XMP packet, as attribute or element, under any prefix; 0 if there is none.

    Searched for as text: no entity is expanded and no reference followed. Comments do not count.
    """
    # A packet in UTF-16 has its text between zeros.
    packet = _without_comments(packet[:_MOST_XMP_BYTES].replace(b"\0", b""))
    prefixes = {b"tiff", *_NAMESPACE.findall(packet)}
    for prefix in sorted(prefixes)[:8]:
        if found := re.search(rb"(?<![\w.-])" + re.escape(prefix) + _VALUE, packet):
            return int(found[1])
    return 0


def _without_comments(packet: bytes) -> bytes:
    pieces = packet.split(b"<!--")
    return pieces[0] + b"".join(piece.partition(b"-->")[2] for piece in pieces[1:])
