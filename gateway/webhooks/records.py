"""Database records of webhook deliveries. Each function is one query or change within the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.sql import ColumnElement

from gateway.database.paging import newest
from gateway.database.tables import DELIVERIES, ENDPOINTS, Moment, moment
from gateway.webhooks import endpoint_records
from mesh.errors import NotFound
from mesh.telemetry import log


class DeliveryStatus(StrEnum):
    """State of a delivery; the last two are final."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True)
class Try:
    """One attempt: when it was sent, and its result, as in `last_answer` of a Delivery."""

    at: datetime
    answer: str


@dataclass(frozen=True)
class Delivery:
    """A message to a URL.

    Attributes:
        id: the same in every attempt, so that receivers recognize repetitions.
        job_id: the job, or load, that it is about.
        endpoint_id: the endpoint; None for the webhook URL of a request.
        attempts: number of attempts so far.
        next_at: time of the next attempt; None when it is final.
        last_answer: "200", "no answer", ...; None before the first attempt.
        tries: the attempts, without those of older versions, which did not record them.
        body: the JSON to be sent.
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
    tries: tuple[Try, ...]
    body: str


MOST_PENDING = 10_000
"""Maximum number of an owner's pending deliveries; further ones are dead from the start."""


def write(
    connection: Connection, now: Moment, owner: str, rows: Iterable[Mapping[str, Any]], most: int = MOST_PENDING
) -> list[str]:
    """Insert deliveries of `owner`, due at once, unless it has `most` pending ones; returns the ids of those that are
    due and did not exist yet."""
    written: list[str] = []
    is_own = DELIVERIES.c.owner == owner, DELIVERIES.c.status == DeliveryStatus.PENDING
    pending = connection.execute(select(func.count()).where(*is_own)).scalar_one()
    for row in rows:
        same = [DELIVERIES.c[name] == row[name] for name in ("job_id", "event", "url")]
        if connection.execute(select(DELIVERIES.c.id).where(*same)).one_or_none() is not None:
            continue
        start = {"owner": owner, "attempts": 0, "tries": [], "created_at": now}
        if pending + len(written) < most:
            written.append(row["id"])
            start |= {"status": DeliveryStatus.PENDING, "next_at": now}
        else:
            log.warning("delivery not attempted: its owner has too many pending ones", delivery=row["id"])
            start |= {"status": DeliveryStatus.DEAD, "done_at": now, "last_answer": "too many pending"}
        connection.execute(insert(DELIVERIES).values(**row, **start))
    return written


@dataclass(frozen=True)
class Due:
    """A delivery that is due.

    Attributes:
        number: number of attempts so far.
        secret: of its endpoint; None if it has none.
        created_at: seconds since 1970.
        tries: as they are stored.
    """

    id: str
    number: int
    owner: str
    dialect: str
    url: str
    body: str
    endpoint_id: str | None
    secret: str | None
    created_at: float
    tries: Sequence[Any]


def due(connection: Connection, id: str, number: int, now: Moment) -> Due | None:
    """The delivery for the attempt after `number` attempts; None if it is final, or that attempt was already made.

    A delivery whose endpoint was deleted or disabled is ended here.
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
    return Due(
        id=row.id,
        number=number,
        owner=row.owner,
        dialect=row.dialect,
        url=row.url,
        body=row.body,
        endpoint_id=row.endpoint_id,
        secret=row.secret,
        created_at=row.created_at,
        tries=row.tries or (),
    )


def failed(connection: Connection, due: Due, now: Moment, made: Try, pause_s: float | None) -> bool:
    """Record a failed attempt, with the next one in `pause_s` seconds, None for none. False if already recorded."""
    end: dict[str, Any] = (
        {"next_at": now + pause_s}
        if pause_s is not None
        else {"status": DeliveryStatus.DEAD, "next_at": None, "done_at": now}
    )
    return _noted(connection, due, now, made, delivered=False, **end)


def delivered(connection: Connection, due: Due, now: Moment, made: Try) -> bool:
    """Record a successful attempt. False if this attempt was already recorded."""
    end = {"status": DeliveryStatus.DELIVERED, "next_at": None, "done_at": now}
    return _noted(connection, due, now, made, delivered=True, **end)


def of_job(connection: Connection, job_id: str) -> tuple[Delivery, ...]:
    """The deliveries about a job, oldest first."""
    asked = select(DELIVERIES).where(DELIVERIES.c.job_id == job_id)
    rows = connection.execute(asked.order_by(DELIVERIES.c.created_at, DELIVERIES.c.id))
    return tuple(_delivery(row) for row in rows)


def of_endpoint(
    connection: Connection, endpoint_id: str, owner: str, limit: int, after: str | None
) -> tuple[tuple[Delivery, ...], str | None]:
    """A page of the deliveries to an owner's endpoint, newest first, and the cursor of the next page."""
    asked = [DELIVERIES.c.endpoint_id == endpoint_id, DELIVERIES.c.owner == owner]
    rows, following = newest(connection, DELIVERIES, asked, limit, after)
    return tuple(map(_delivery, rows)), following


def get(connection: Connection, id: str, endpoint_id: str, owner: str) -> Delivery:
    """The delivery with this id to an owner's endpoint; NotFound."""
    own = [DELIVERIES.c.endpoint_id == endpoint_id, DELIVERIES.c.owner == owner]
    asked = select(DELIVERIES).where(DELIVERIES.c.id == endpoint_records.as_id(id), *own)
    row = connection.execute(asked).one_or_none()
    if row is None:
        raise NotFound("unknown delivery, or it has expired")
    return _delivery(row)


def overdue(connection: Connection, now: Moment, grace_s: float, most: int = 100) -> list[str]:
    """Ids of pending deliveries that were due more than `grace_s` seconds ago, oldest first."""
    asked = select(DELIVERIES.c.id).where(*_overdue(now, grace_s)).order_by(DELIVERIES.c.next_at).limit(most)
    return list(connection.execute(asked).scalars())


@dataclass(frozen=True)
class Waiting:
    """A pending delivery: its id, its owner, the number of attempts so far."""

    id: str
    owner: str
    number: int


def claim(connection: Connection, ids: Sequence[str], now: Moment, grace_s: float) -> list[Waiting]:
    """Claim overdue deliveries; returns those that no other process claimed first."""
    claimed = []
    for id in ids:
        mine = update(DELIVERIES).where(DELIVERIES.c.id == id, *_overdue(now, grace_s)).values(next_at=now)
        if connection.execute(mine).rowcount:
            row = connection.execute(select(DELIVERIES).where(DELIVERIES.c.id == id)).one()
            claimed.append(Waiting(row.id, row.owner, row.attempts))
    return claimed


def remove_old(connection: Connection, now: Moment, older_than_s: float, most: int = 500) -> list[str]:
    """Delete deliveries that ended more than `older_than_s` ago; returns their ids."""
    old = select(DELIVERIES.c.id).where(DELIVERIES.c.done_at < now - older_than_s).limit(most)
    ids = list(connection.execute(old).scalars())
    connection.execute(delete(DELIVERIES).where(DELIVERIES.c.id.in_(ids)))
    return ids


def _open(id: str, number: int) -> tuple[ColumnElement[bool], ...]:
    of_id = DELIVERIES.c.id == id
    return of_id, DELIVERIES.c.status == DeliveryStatus.PENDING, DELIVERIES.c.attempts == number


def _overdue(now: Moment, grace_s: float) -> tuple[ColumnElement[bool], ...]:
    return DELIVERIES.c.status == DeliveryStatus.PENDING, DELIVERIES.c.next_at < now - grace_s


def _set(connection: Connection, id: str, number: int, **values: Any) -> bool:
    return bool(connection.execute(update(DELIVERIES).where(*_open(id, number)).values(**values)).rowcount)


def _noted(connection: Connection, due: Due, now: Moment, made: Try, *, delivered: bool, **values: Any) -> bool:
    tries = [*due.tries, [made.at.timestamp(), made.answer]]
    noted = {"attempts": due.number + 1, "last_answer": made.answer, "tries": tries}
    if not _set(connection, due.id, due.number, **noted, **values):
        return False
    endpoint_records.tried(connection, now, due.endpoint_id, delivered)
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
        tries=tuple(Try(moment(at), answer) for at, answer in row.tries or ()),
        body=row.body,
    )
