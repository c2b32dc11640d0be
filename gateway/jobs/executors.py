"""Database records of the processes that run jobs, and jobs that none of them has. Each function is one query or change
within the caller's transaction."""

from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, or_, select, update

from gateway.database.tables import EXECUTORS, JOBS, OPEN_JOBS, now


def beat(connection: Connection, executor: str) -> None:
    """Record a heartbeat of `executor`."""
    moment = now(connection.dialect)
    if not connection.execute(update(EXECUTORS).where(EXECUTORS.c.id == executor).values(beat_at=moment)).rowcount:
        connection.execute(insert(EXECUTORS).values(id=executor, beat_at=moment))


def leave(connection: Connection, executors: Iterable[str]) -> None:
    """Delete executors."""
    connection.execute(delete(EXECUTORS).where(EXECUTORS.c.id.in_(list(executors))))


def claim_dead(connection: Connection, silent_s: float) -> list[str]:
    """Executors without a heartbeat for `silent_s` seconds. Each is claimed by one caller only, for as many seconds."""
    moment = now(connection.dialect)
    silent = EXECUTORS.c.beat_at < moment - silent_s
    found = connection.execute(update(EXECUTORS).where(silent).values(beat_at=moment).returning(EXECUTORS.c.id))
    return list(found.scalars())


def orphans(connection: Connection, asking: str, idle_s: float, most: int = 100) -> list[str]:
    """Ids of open jobs older than `idle_s` that no living executor other than `asking` has, oldest first."""
    living = select(EXECUTORS.c.id).where(EXECUTORS.c.id != asking)
    return list(
        connection.execute(
            select(JOBS.c.id)
            .where(
                JOBS.c.status.in_(OPEN_JOBS),
                or_(JOBS.c.executor.is_(None), JOBS.c.executor.not_in(living)),
                JOBS.c.created_at < now(connection.dialect) - idle_s,
            )
            .order_by(JOBS.c.created_at)
            .limit(most)
        ).scalars()
    )
