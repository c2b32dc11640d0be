"""Whether the data of a PNG have every row that its header declares; pixels are counted, none is kept."""

import zlib

# Left, top, and steps across and down of the passes of an interlaced PNG (ISO/IEC 15948, 8.2).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_AT_A_TIME = 1 << 16


def is_interlaced(content: bytes) -> bool:
    """Whether the header of a PNG says so."""
    return content[28] == 1


def has_every_row(content: bytes) -> bool:
    """Whether what a sound PNG's IDAT chunks inflate to is long enough for its size; memory does not grow with it."""
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    bits = content[24] * _CHANNELS[content[25]]
    sizes = _passes(width, height) if is_interlaced(content) else [(width, height)]
    expected = sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes)
    return _inflated_length(content, expected) >= expected


def _passes(width: int, height: int) -> list[tuple[int, int]]:
    """Columns and rows of each pass that has any."""
    return [
        (-(-(width - left) // across), -(-(height - top) // down))
        for left, top, across, down in _ADAM7
        if width > left and height > top
    ]


def _inflated_length(content: bytes, most: int) -> int:
    """Bytes that the IDAT chunks inflate to; counting ends at `most`."""
    inflating, at, total = zlib.decompressobj(), 8, 0
    while at + 8 <= len(content) and total < most and not inflating.eof:
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        packed = content[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        try:
            while packed and total < most:
                total += len(inflating.decompress(packed, _AT_A_TIME))
                packed = inflating.unconsumed_tail
        except zlib.error:
            return total
        at += 12 + length
    # All input is used up if there is too little; zlib may hold back the end of what it became.
    return total if total >= most else total + len(inflating.flush())
