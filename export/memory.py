"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MIB = 1 << 20


@contextmanager
def returned() -> Iterator[None]:
    """Within it, blocks of a mebibyte and more go back to the system as soon as they are freed.

    glibc keeps larger ones for later, too, once it has seen some; while a tracer notes small things between them, none
    of them is free at its whole length again, and a network's weights pass through memory as if all were kept. Outside,
    that is quicker than new pages for each layer. Where the library has no such switch, nothing happens.
    """
    library: Any = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(_M_MMAP_THRESHOLD, _MIB)
    try:
        yield
    finally:
        library.mallopt(_M_MMAP_THRESHOLD, 32 * _MIB)
        library.mallopt(_M_TRIM_THRESHOLD, 128 * _MIB)
        library.malloc_trim(0)
