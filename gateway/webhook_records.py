"""What is done to the records of webhooks: one function a change, each within the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.sql import ColumnElement

from gateway.tables import DELIVERIES, ENDPOINTS, moment
from mesh.errors import InvalidInput, NotFound

Moment = ColumnElement[float]
"""Now, as the database says it."""

MOST_ENDPOINTS = 50
"""Of one owner."""


class DeliveryStatus(StrEnum):
    """Where a delivery is; the last two are final."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True)
class Delivery:
    """One message to one URL.

    Attributes:
        id: the same in every attempt, so that the receiver knows a repetition.
        job_id: what it is about.
        endpoint_id: the endpoint that it is for; None for the URL of a request.
        attempts: how often it was tried.
        next_at: when it is tried next; None when it is final.
        last_answer: "200", "no answer", ...; None before the first attempt.
    """

    id: str
    job_id: str
    endpoint_id: str | None
    url: str
    event: str
    status: DeliveryStatus
    attempts: int
    next_at: datetime | None
    last_answer: str | None
    created_at: datetime
    done_at: datetime | None


@dataclass(frozen=True)
class Endpoint:
    """A URL that an owner wants to be told at.

    Attributes:
        dialect: whose bodies and names of events it gets.
        events: names, or "*" for all.
        secret: signs what is sent, in the form of Standard Webhooks.
        enabled: False once the URL answered 410, or when its owner said so.
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
    failed_calls: int
    total_calls: int
    created_at: datetime
    updated_at: datetime


# --- deliveries -------------------------------------------------------------------------------------------------


def write(connection: Connection, now: Moment, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Put deliveries down, to be tried at once; ids of those that did not stand there already."""
    written = []
    for row in rows:
        same = [DELIVERIES.c[name] == row[name] for name in ("job_id", "event", "url")]
        if connection.execute(select(DELIVERIES.c.id).where(*same)).one_or_none() is None:
            start = {"status": DeliveryStatus.PENDING, "attempts": 0, "next_at": now, "created_at": now}
            connection.execute(insert(DELIVERIES).values(**row, **start))
            written.append(row["id"])
    return written


@dataclass(frozen=True)
class Due:
    """A delivery to be tried now, and the secret of its endpoint; None where it has none."""

    id: str
    owner: str
    dialect: str
    url: str
    body: str
    endpoint_id: str | None
    secret: str | None


def due(connection: Connection, id: str, number: int, now: Moment) -> Due | None:
    """What the attempt after `number` attempts needs; None if it is over, or was made already.

    A delivery whose endpoint is gone or disabled ends here.
    """
    asked = select(DELIVERIES, ENDPOINTS.c.secret, ENDPOINTS.c.enabled).join(
        ENDPOINTS, ENDPOINTS.c.id == DELIVERIES.c.endpoint_id, isouter=True
    )
    row = connection.execute(asked.where(*_open(id, number))).one_or_none()
    if row is None:
        return None
    if row.endpoint_id is not None and not row.enabled:
        _set(connection, id, number, status=DeliveryStatus.DEAD, next_at=None, done_at=now, last_answer="no endpoint")
        return None
    return Due(row.id, row.owner, row.dialect, row.url, row.body, row.endpoint_id, row.secret)


def note(connection: Connection, done: Due, number: int, now: Moment, answer: str, pause_s: float | None) -> bool:
    """An attempt failed: the next one is in `pause_s` seconds, None for never. False if another one was noted."""
    end: dict[str, Any] = (
        {"next_at": now + pause_s}
        if pause_s is not None
        else {"status": DeliveryStatus.DEAD, "next_at": None, "done_at": now}
    )
    return _noted(connection, done, number, failed=1, last_answer=answer, **end)


def delivered(connection: Connection, done: Due, number: int, now: Moment, answer: str) -> bool:
    """An attempt succeeded. False if another one was noted."""
    end = {"status": DeliveryStatus.DELIVERED, "next_at": None, "done_at": now}
    return _noted(connection, done, number, failed=0, last_answer=answer, **end)


def of_job(connection: Connection, job_id: str) -> tuple[Delivery, ...]:
    """What is delivered about a job, the oldest first."""
    asked = select(DELIVERIES).where(DELIVERIES.c.job_id == job_id)
    rows = connection.execute(asked.order_by(DELIVERIES.c.created_at, DELIVERIES.c.id))
    return tuple(_delivery(row) for row in rows)


def overdue(connection: Connection, now: Moment, grace_s: float, most: int = 100) -> list[str]:
    """Ids of deliveries whose time was `grace_s` seconds ago, the oldest first."""
    asked = select(DELIVERIES.c.id).where(*_overdue(now, grace_s)).order_by(DELIVERIES.c.next_at).limit(most)
    return list(connection.execute(asked).scalars())


@dataclass(frozen=True)
class Waiting:
    """A delivery to be tried: its id, its URL, how often it was tried."""

    id: str
    url: str
    number: int


def claim(connection: Connection, ids: Sequence[str], now: Moment, grace_s: float) -> list[Waiting]:
    """Take overdue deliveries over; those that another process was quicker to take are not among the answer."""
    claimed = []
    for id in ids:
        mine = update(DELIVERIES).where(DELIVERIES.c.id == id, *_overdue(now, grace_s)).values(next_at=now)
        if connection.execute(mine).rowcount:
            row = connection.execute(select(DELIVERIES).where(DELIVERIES.c.id == id)).one()
            claimed.append(Waiting(row.id, row.url, row.attempts))
    return claimed


def remove_old(connection: Connection, now: Moment, older_than_s: float, most: int = 500) -> list[str]:
    """Forget deliveries that ended so many seconds ago; their ids."""
    old = select(DELIVERIES.c.id).where(DELIVERIES.c.done_at < now - older_than_s).limit(most)
    ids = list(connection.execute(old).scalars())
    connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id.in_(ids)))
    return ids


# --- endpoints --------------------------------------------------------------------------------------------------


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
        raise _unknown()
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
        raise _unknown()


def disable(connection: Connection, now: Moment, id: str) -> None:
    """Send nothing more to an endpoint."""
    connection.execute(update(ENDPOINTS).where(ENDPOINTS.c.id == id).values(enabled=False, updated_at=now))


def _open(id: str, number: int) -> tuple[ColumnElement[bool], ...]:
    of_id = DELIVERIES.c.id == id
    return of_id, DELIVERIES.c.status == DeliveryStatus.PENDING, DELIVERIES.c.attempts == number


def _overdue(now: Moment, grace_s: float) -> tuple[ColumnElement[bool], ...]:
    return DELIVERIES.c.status == DeliveryStatus.PENDING, DELIVERIES.c.next_at < now - grace_s


def _own(id: str, owner: str) -> tuple[ColumnElement[bool], ...]:
    return ENDPOINTS.c.id == id, ENDPOINTS.c.owner == owner


def _set(connection: Connection, id: str, number: int, **values: Any) -> bool:
    return bool(connection.execute(update(DELIVERIES).where(*_open(id, number)).values(**values)).rowcount)


def _noted(connection: Connection, done: Due, number: int, failed: int, **values: Any) -> bool:
    if not _set(connection, done.id, number, attempts=number + 1, **values):
        return False
    calls = {"failed_calls": ENDPOINTS.c.failed_calls + failed, "total_calls": ENDPOINTS.c.total_calls + 1}
    connection.execute(update(ENDPOINTS).where(ENDPOINTS.c.id == done.endpoint_id).values(**calls))
    return True


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        job_id=row.job_id,
        endpoint_id=row.endpoint_id,
        url=row.url,
        event=row.event,
        status=DeliveryStatus(row.status),
        attempts=row.attempts,
        next_at=moment(row.next_at),
        last_answer=row.last_answer,
        created_at=moment(row.created_at),
        done_at=moment(row.done_at),
    )


def _endpoint(row: Row[Any]) -> Endpoint:
    plain = {name: getattr(row, name) for name in ENDPOINTS.c.keys()}  # noqa: SIM118 (no dict)
    times = {name: moment(plain[name]) for name in ("created_at", "updated_at")}
    return Endpoint(**{**plain, **times, "events": tuple(row.events)})


def _unknown() -> NotFound:
    return NotFound("there is no such webhook endpoint")
