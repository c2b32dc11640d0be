"""Database records of webhook endpoints. Each function is one query or change within the caller's transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.sql import ColumnElement

from gateway.database.tables import ENDPOINTS, Moment, moment
from mesh.errors import InvalidInput, NotFound
from mesh.telemetry import log

MOST_ENDPOINTS = 50
"""Maximum number of endpoints of one owner."""


@dataclass(frozen=True)
class Endpoint:
    """A URL that is notified of an owner's jobs.

    Attributes:
        dialect: dialect of the bodies and event names.
        events: event names, or "*" for all.
        secret: signs the messages, in the format of Standard Webhooks.
        enabled: whether messages are sent.
        disabled_because: why it was disabled automatically; None if its owner disabled it, or if it is enabled.
        delivered_at: time of the last success; None before the first.
        failed_calls, total_calls: number of attempts so far.
    """

    id: str
    owner: str
    dialect: str
    url: str
    events: tuple[str, ...]
    description: str
    secret: str
    enabled: bool
    disabled_because: str | None
    delivered_at: datetime | None
    failed_calls: int
    total_calls: int
    created_at: datetime
    updated_at: datetime


def create(connection: Connection, now: Moment, row: Mapping[str, Any]) -> Endpoint:
    """Create an enabled endpoint; InvalidInput if its owner has too many."""
    own = connection.execute(select(func.count()).where(ENDPOINTS.c.owner == row["owner"])).scalar_one()
    if own >= MOST_ENDPOINTS:
        raise InvalidInput(f"{own} webhook endpoints is the maximum; delete one first")
    start = {"enabled": True, "failed_calls": 0, "total_calls": 0, "created_at": now, "updated_at": now}
    connection.execute(insert(ENDPOINTS).values(**row, **start))
    return get(connection, row["id"], row["owner"])


def get(connection: Connection, id: str, owner: str) -> Endpoint:
    """An owner's endpoint; NotFound."""
    row = connection.execute(select(ENDPOINTS).where(*_own(id, owner))).one_or_none()
    if row is None:
        raise _unknown(connection, id, owner)
    return _endpoint(row)


def of_owner(connection: Connection, owner: str) -> tuple[Endpoint, ...]:
    """All endpoints of an owner, oldest first."""
    asked = select(ENDPOINTS).where(ENDPOINTS.c.owner == owner)
    rows = connection.execute(asked.order_by(ENDPOINTS.c.created_at, ENDPOINTS.c.id))
    return tuple(_endpoint(row) for row in rows)


def change(connection: Connection, now: Moment, id: str, owner: str, changes: Mapping[str, Any]) -> Endpoint:
    """Change an owner's endpoint; returns it. NotFound."""
    connection.execute(update(ENDPOINTS).where(*_own(id, owner)).values(**changes, updated_at=now))
    return get(connection, id, owner)


def remove(connection: Connection, id: str, owner: str) -> None:
    """Delete an owner's endpoint; NotFound."""
    if not connection.execute(delete(ENDPOINTS).where(*_own(id, owner))).rowcount:
        raise _unknown(connection, id, owner)


def tried(connection: Connection, now: Moment, id: str | None, delivered: bool) -> None:
    """Count an attempt."""
    changes: dict[str, Any] = {"total_calls": ENDPOINTS.c.total_calls + 1}
    changes |= {"delivered_at": now} if delivered else {"failed_calls": ENDPOINTS.c.failed_calls + 1}
    connection.execute(update(ENDPOINTS).where(ENDPOINTS.c.id == id).values(**changes))


def disable(connection: Connection, now: Moment, id: str, because: str, dead_since: float | None = None) -> bool:
    """Disable an endpoint; False if the condition is not met.

    Args:
        because: the reason, for its owner to read.
        dead_since: disable only if nothing was delivered there, and its owner did not change it, since this time
            (seconds since 1970); None: unconditionally.
    """
    asked = [ENDPOINTS.c.id == id, ENDPOINTS.c.enabled]
    if dead_since is not None:
        asked += [ENDPOINTS.c.updated_at <= dead_since, func.coalesce(ENDPOINTS.c.delivered_at, 0.0) <= dead_since]
    changes = {"enabled": False, "disabled_because": because, "updated_at": now}
    return bool(connection.execute(update(ENDPOINTS).where(*asked).values(**changes)).rowcount)


def _own(id: str, owner: str) -> tuple[ColumnElement[bool], ...]:
    return ENDPOINTS.c.id == as_id(id), ENDPOINTS.c.owner == owner


def as_id(text: str) -> str:
    """`text` if it may be an id, else "": PostgreSQL raises an error for characters that text can't contain, as NUL."""
    return text if text.isascii() and text.isprintable() else ""


def _endpoint(row: Row[Any]) -> Endpoint:
    plain = {name: getattr(row, name) for name in ENDPOINTS.c.keys()}  # noqa: SIM118 (no dict)
    times = {name: moment(plain[name]) for name in ("created_at", "updated_at", "delivered_at")}
    return Endpoint(**{**plain, **times, "events": tuple(row.events)})


def _unknown(connection: Connection, id: str, owner: str) -> NotFound:
    if connection.execute(select(ENDPOINTS.c.id).where(ENDPOINTS.c.id == as_id(id))).one_or_none() is not None:
        # Only in the log: the answer is the same as for an unknown one, but operators should see who probes ids.
        log.warning("another owner's webhook endpoint was requested", endpoint=id, owner=owner)
    return NotFound("unknown webhook endpoint")
