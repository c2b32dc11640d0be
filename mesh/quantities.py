"""Quantities as messages say them."""

_UNITS = (("MiB", 2**20), ("KiB", 2**10))


def sized(count: int) -> str:
    """A number of bytes in words: "16 MiB", "1.5 KiB", "12 bytes"; rounded up to a tenth."""
    for unit, bytes in _UNITS:
        if count >= bytes:
            tenths = -(-count * 10 // bytes)
            return f"{tenths // 10}{f'.{tenths % 10}' if tenths % 10 else ''} {unit}"
    return f"{count} bytes"
