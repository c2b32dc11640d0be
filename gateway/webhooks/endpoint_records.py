"""What is done to the records of webhook endpoints: one function a change, each within the caller's transaction."""

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
"""Of one owner."""


@dataclass(frozen=True)
class Endpoint:
    """A URL that an owner wants to be told at.

    Attributes:
        dialect: whose bodies and names of events it gets.
        events: names, or "*" for all.
        secret: signs what is sent, in the form of Standard Webhooks.
        enabled: whether anything is sent there.
        disabled_because: why not any more; None where its owner said so, or where it is enabled.
        delivered_at: of the last success; None before the first.
        failed_calls, total_calls: attempts so far.
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
    """A new endpoint, enabled; InvalidInput if its owner has too many."""
    own = connection.execute(select(func.count()).where(ENDPOINTS.c.owner == row["owner"])).scalar_one()
    if own >= MOST_ENDPOINTS:
        raise InvalidInput(f"{own} webhook endpoints are the most that one key may have; delete one first")
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
    """All endpoints of an owner, the oldest first."""
    asked = select(ENDPOINTS).where(ENDPOINTS.c.owner == owner)
    rows = connection.execute(asked.order_by(ENDPOINTS.c.created_at, ENDPOINTS.c.id))
    return tuple(_endpoint(row) for row in rows)


def change(connection: Connection, now: Moment, id: str, owner: str, changes: Mapping[str, Any]) -> Endpoint:
    """An owner's endpoint with `changes`; NotFound."""
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
    """Send nothing more to an endpoint; False if there is no reason to.

    Args:
        because: for its owner to read.
        dead_since: seconds since 1970 since when nothing should have been delivered there, and its owner should have
            left it as it is; None for at once.
    """
    asked = [ENDPOINTS.c.id == id, ENDPOINTS.c.enabled]
    if dead_since is not None:
        asked += [ENDPOINTS.c.updated_at <= dead_since, func.coalesce(ENDPOINTS.c.delivered_at, 0.0) <= dead_since]
    changes = {"enabled": False, "disabled_because": because, "updated_at": now}
    return bool(connection.execute(update(ENDPOINTS).where(*asked).values(**changes)).rowcount)


def _own(id: str, owner: str) -> tuple[ColumnElement[bool], ...]:
    return ENDPOINTS.c.id == as_id(id), ENDPOINTS.c.owner == owner


def as_id(text: str) -> str:
    """`text` if it may be an id: PostgreSQL refuses to compare with what can't be text, such as a NUL."""
    return text if text.isascii() and text.isprintable() else ""


def _endpoint(row: Row[Any]) -> Endpoint:
    plain = {name: getattr(row, name) for name in ENDPOINTS.c.keys()}  # noqa: SIM118 (no dict)
    times = {name: moment(plain[name]) for name in ("created_at", "updated_at", "delivered_at")}
    return Endpoint(**{**plain, **times, "events": tuple(row.events)})


def _unknown(connection: Connection, id: str, owner: str) -> NotFound:
    if connection.execute(select(ENDPOINTS.c.id).where(ENDPOINTS.c.id == as_id(id))).one_or_none() is not None:
        # Nothing of it in the answer; who goes through ids is for the operator to see.
        log.warning("another owner's webhook endpoint was asked for", endpoint=id, owner=owner)
    return NotFound("there is no such webhook endpoint")
