"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 20


def return_freed() -> None:
    """Let blocks of a mebibyte and more go back to the system as soon as they are freed.

    glibc keeps larger ones for later, too, once it has seen some; while a tracer notes small things between them, none
    of them is free at its whole length again, and a network's weights pass through memory as if all were kept. Where
    the library has no such switch, nothing happens.
    """
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    if setting is not None:
        setting(_M_MMAP_THRESHOLD, _LARGE)
