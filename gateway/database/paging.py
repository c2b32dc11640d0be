"""Cursor pagination of lists, newest or oldest first."""

import binascii
import math
import struct
from collections.abc import Iterable
from operator import gt, lt
from typing import Any

import pybase64
from sqlalchemy import Connection, Row, Table, and_, or_, select
from sqlalchemy.sql import ColumnElement

from mesh.errors import InvalidInput

_FORM = struct.Struct(">d")


def cursor_of(created_at: float, id: str) -> str:
    """The cursor that continues after an entry: its time in seconds since 1970 and its id, as text for URLs."""
    return pybase64.urlsafe_b64encode(_FORM.pack(created_at) + id.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, field: str = "after") -> tuple[float, str] | None:
    """Time and id of a cursor that `cursor_of` made; None for None.

    Raises:
        InvalidInput: the cursor is not valid.
    """
    if not cursor:
        return None
    try:
        content = pybase64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        created_at, id = _FORM.unpack(content[:8])[0], content[8:].decode("ascii")
        # Databases accept neither infinity nor NUL.
        if not math.isfinite(created_at) or not id.isprintable():
            raise ValueError
        return created_at, id
    except (ValueError, binascii.Error, struct.error):
        raise InvalidInput(
            f"{field} is not a valid cursor; send the one that came with the last page", field=field
        ) from None


def newest(
    connection: Connection,
    table: Table,
    asked: Iterable[ColumnElement[bool]],
    limit: int,
    after: str | None,
    oldest_first: bool = False,
) -> tuple[list[Row[Any]], str | None]:
    """At most `limit` rows of a table with `created_at` and `id`, from the cursor `after` on, and the next cursor.

    The newest come first, unless `oldest_first`; a cursor holds for one direction.

    Raises:
        InvalidInput: `after` is not a valid cursor.
    """
    columns, conditions = table.c, list(asked)
    if (cursor := read_cursor(after)) is not None:
        created_at, id = cursor
        beyond = gt if oldest_first else lt
        same = columns.created_at == created_at
        conditions.append(or_(beyond(columns.created_at, created_at), and_(same, beyond(columns.id, id))))
    keys = (columns.created_at, columns.id)
    order = keys if oldest_first else [key.desc() for key in keys]
    rows = list(connection.execute(select(table).where(*conditions).order_by(*order).limit(limit + 1)))
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], cursor_of(rows[limit - 1].created_at, rows[limit - 1].id)
