"""Database records of jobs. Each function is one query or change within the caller's transaction.

A record gets only one final state. Every change is conditional on the state that it starts from, so if two processes
believe that they run the same job, only one can change the record.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from gateway.database.locks import lock
from gateway.database.paging import newest
from gateway.database.tables import JOBS, now
from gateway.database.tables import OPEN_JOBS as _OPEN
from gateway.files.quota import Quota
from gateway.jobs.job import FINAL, NUMBERS, Filter, Job, Order, Page, Status, check_same, is_own, unknown
from gateway.jobs.limits import Bounds
from gateway.jobs.rows import generation_row, job_of
from gateway.jobs.shares import check_room
from mesh.telemetry import carried


@dataclass(frozen=True)
class Placed:
    """An accepted job: its record, and whether it is new."""

    job: Job
    is_new: bool


@dataclass(frozen=True)
class Inputs:
    """The pictures that were sent with a job: field path -> name of the file, and their bytes in total."""

    names: Mapping[str, str] = field(default_factory=dict)
    size: int = 0


def known(connection: Connection, order: Order) -> Job | None:
    """The job with the order's id, if there is one; Conflict if it is another request's."""
    row = _row(connection, JOBS.c.id == order.id) if order.id else None
    return None if row is None else _same(row, order)


def admit(connection: Connection, order: Order, size: int, bounds: Bounds, quota: Quota) -> Job | None:
    """Check that a new job with `size` bytes of pictures may be placed; the existing one with its id, if any.

    Concurrent transactions that admit wait for the end of this one, so what it inserts is counted.

    Raises:
        Conflict: the id was used for another request.
        Overloaded: too many jobs are waiting.
        TooOften: too many of the owner's jobs are waiting or on record, or its files take too much.
    """
    lock(connection, "waiting jobs")
    if (job := known(connection, order)) is not None:
        return job
    check_room(connection, order, bounds)
    quota.check(connection, order.owner, size, order.generation.samples)
    return None


def place(
    connection: Connection, order: Order, inputs: Inputs, assets: Sequence[str], bounds: Bounds, quota: Quota
) -> Placed:
    """Insert the record of a new job, or return the existing one with the order's id. Raises as `admit`."""
    if (job := admit(connection, order, inputs.size, bounds, quota)) is not None:
        return Placed(job, is_new=False)
    generation = order.generation
    moment = now(connection.dialect)
    id = order.id or secrets.token_hex(16)
    row = {
        "id": id,
        "number": _free_number(connection),
        "owner": order.owner,
        "dialect": order.dialect,
        "echo": dict(order.echo),
        "generation": generation_row(generation, order.task),
        "inputs": dict(inputs.names),
        "carried": carried(),
        "fingerprint": order.fingerprint,
        "assets": list(assets),
        "status": Status.QUEUED,
        "priority": order.priority,
        "at_once": order.at_once,
        "attempts": 0,
        "step": 0,
        "steps": generation.planned_steps * generation.samples,
        "pictures": [],
        "notes": [],
        "webhook": order.webhook,
        "input_bytes": inputs.size,
        "created_at": moment,
        "deadline_at": None if order.deadline_s is None else moment + order.deadline_s,
    }
    connection.execute(insert(JOBS).values(row))
    return Placed(get(connection, id, order.owner), is_new=True)


def get(connection: Connection, id: str, owner: str) -> Job:
    """The record of the owner's job. NotFound."""
    # PostgreSQL raises an error for characters that text can't contain, such as NUL.
    named = id if id.isascii() and id.isalnum() else ""
    return _own(_row(connection, JOBS.c.id == named), owner)


def any_owners(connection: Connection, id: str) -> Job:
    """The record of any owner's job; only for the engine. NotFound."""
    return _found(_row(connection, JOBS.c.id == id))


Mark = tuple[str, int, int]
"""What shows that a record changed: status, attempts, step."""
_MOST_ASKED = 500


def marks(connection: Connection, ids: Sequence[str]) -> dict[str, Mark]:
    """The Mark of each of these jobs that exists."""
    columns = (JOBS.c.id, JOBS.c.status, JOBS.c.attempts, JOBS.c.step)
    some = (ids[first : first + _MOST_ASKED] for first in range(0, len(ids), _MOST_ASKED))
    rows = [row for part in some for row in connection.execute(select(*columns).where(JOBS.c.id.in_(part)))]
    return {row.id: (row.status, row.attempts, row.step) for row in rows}


def find(connection: Connection, number: int, owner: str) -> Job:
    """The record of the owner's job with this number. NotFound."""
    number = number if number in NUMBERS else 0
    return _own(_row(connection, JOBS.c.number == number), owner)


def page(connection: Connection, owner: str, which: Filter, limit: int, after: str | None) -> Page:
    """A page of an owner's records, newest first."""
    asked = [JOBS.c.owner == owner]
    if which.statuses:
        asked.append(JOBS.c.status.in_(which.statuses))
    if which.dialects:
        asked.append(JOBS.c.dialect.in_(which.dialects))
    if which.created_after is not None:
        asked.append(JOBS.c.created_at > which.created_after.timestamp())
    rows, following = newest(connection, JOBS, asked, limit, after)
    return Page(tuple(map(job_of, rows)), following)


@dataclass(frozen=True)
class Begun:
    """A job that this process may run: its record, the names of its input pictures, the request that it belongs to,
    whether a caller waits, whether its deadline has passed."""

    job: Job
    inputs: Mapping[str, str]
    carried: Mapping[str, str]
    at_once: bool
    too_late: bool


def begin(connection: Connection, id: str, executor: str) -> Begun | None:
    """Assign the job to `executor`; None if its state is already final."""
    taken = connection.execute(
        update(JOBS)
        .where(JOBS.c.id == id, JOBS.c.status.in_(_OPEN))
        .values(executor=executor, attempts=JOBS.c.attempts + 1)
    )
    if not taken.rowcount:
        return None
    moment = now(connection.dialect)
    row = connection.execute(select(JOBS, (JOBS.c.deadline_at < moment).label("late")).where(JOBS.c.id == id)).one()
    return Begun(job_of(row), dict(row.inputs), dict(row.carried), row.at_once, bool(row.late))


def start(connection: Connection, id: str, executor: str) -> bool:
    """Set the job to running; False if it is no longer assigned to this executor."""
    moment = now(connection.dialect)
    return _change(connection, id, executor, status=Status.RUNNING, started_at=func.coalesce(JOBS.c.started_at, moment))


def advance(connection: Connection, id: str, executor: str, step: int, steps: int) -> bool:
    """Record progress; False if the job is no longer assigned to this executor: cancelled, or taken over."""
    return _change(connection, id, executor, step=step, steps=steps)


def hand_over(connection: Connection, id: str, executor: str) -> bool:
    """Release the job, for another process to start."""
    return _change(connection, id, executor, status=Status.QUEUED, executor=None)


def settle(connection: Connection, id: str, status: Status, executor: str | None = None, **changes: Any) -> bool:
    """Set the final state; False if there already is one, or if the job is not `executor`'s (None: any executor's)."""
    asked = [JOBS.c.id == id, JOBS.c.status.in_(_OPEN)]
    if executor is not None:
        asked.append(JOBS.c.executor == executor)
    done = connection.execute(
        update(JOBS).where(*asked).values(status=status, finished_at=now(connection.dialect), **changes)
    )
    return bool(done.rowcount)


def inputs_of(connection: Connection, id: str) -> list[str]:
    """Names of the pictures that were sent with a job."""
    return list(connection.execute(select(JOBS.c.inputs).where(JOBS.c.id == id)).scalar_one().values())


def waiting_of(connection: Connection, owner: str) -> list[str]:
    """Ids of an owner's waiting jobs."""
    return list(
        connection.execute(select(JOBS.c.id).where(JOBS.c.owner == owner, JOBS.c.status == Status.QUEUED)).scalars()
    )


def waiting(connection: Connection) -> tuple[int, float]:
    """The number of waiting jobs of all owners, and how many seconds the first has waited."""
    age = now(connection.dialect) - func.min(JOBS.c.created_at)
    count, oldest = connection.execute(select(func.count(), age).where(JOBS.c.status == Status.QUEUED)).one()
    return count, max(0.0, oldest or 0.0)


def late(connection: Connection, most: int = 100) -> list[str]:
    """Ids of open jobs whose deadline has passed."""
    passed = JOBS.c.deadline_at < now(connection.dialect)
    return list(connection.execute(select(JOBS.c.id).where(JOBS.c.status.in_(_OPEN), passed).limit(most)).scalars())


def unfinished(connection: Connection) -> list[str]:
    """Ids of all open jobs."""
    return list(connection.execute(select(JOBS.c.id).where(JOBS.c.status.in_(_OPEN))).scalars())


def old(connection: Connection, older_than_s: float, most: int = 100) -> dict[str, list[str]]:
    """Jobs that ended more than `older_than_s` ago: id -> names of the input pictures."""
    moment = now(connection.dialect)
    rows = connection.execute(
        select(JOBS.c.id, JOBS.c.inputs)
        .where(JOBS.c.status.in_(FINAL), JOBS.c.finished_at < moment - older_than_s)
        .limit(most)
    )
    return {row.id: list(row.inputs.values()) for row in rows}


def remove(connection: Connection, ids: Iterable[str]) -> None:
    """Delete the records of jobs."""
    connection.execute(delete(JOBS).where(JOBS.c.id.in_(list(ids))))


def _change(connection: Connection, id: str, owned_by: str, /, **changes: Any) -> bool:
    return bool(
        connection.execute(
            update(JOBS).where(JOBS.c.id == id, JOBS.c.executor == owned_by, JOBS.c.status.in_(_OPEN)).values(**changes)
        ).rowcount
    )


def _row(connection: Connection, which: Any) -> Row[Any] | None:
    return connection.execute(select(JOBS).where(which)).one_or_none()


def _own(row: Row[Any] | None, owner: str) -> Job:
    return _found(row if row is None or is_own(row.id, row.owner, owner) else None)


def _found(row: Row[Any] | None) -> Job:
    if row is None:
        raise unknown()
    return job_of(row)


def _same(row: Row[Any], order: Order) -> Job:
    check_same(order, row.owner, row.fingerprint)
    return job_of(row)


def _free_number(connection: Connection) -> int:
    while True:
        number = secrets.choice(NUMBERS)
        if connection.execute(select(JOBS.c.id).where(JOBS.c.number == number)).one_or_none() is None:
            return number
