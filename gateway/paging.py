"""Cursors of lists that are read page by page, the newest first."""

import binascii
import math
import struct

import pybase64

from mesh.errors import InvalidInput

_FORM = struct.Struct(">d")


def cursor_of(created_at: float, id: str) -> str:
    """The place behind an entry: its time in seconds since 1970 and its id, as text for URLs."""
    return pybase64.urlsafe_b64encode(_FORM.pack(created_at) + id.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, field: str = "after") -> tuple[float, str] | None:
    """What `cursor_of` wrote; None for none.

    Raises:
        InvalidInput: anything else.
    """
    if not cursor:
        return None
    try:
        content = pybase64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        created_at, id = _FORM.unpack(content[:8])[0], content[8:].decode("ascii")
        # Databases take neither infinity nor NUL.
        if not math.isfinite(created_at) or not id.isprintable():
            raise ValueError
        return created_at, id
    except (ValueError, binascii.Error, struct.error):
        raise InvalidInput(f"{field} is no cursor; send the one that the last page came with", field=field) from None
