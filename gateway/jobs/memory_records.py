"""Records of jobs in memory: one that changes, and what lists of them need."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace

from gateway.database.paging import cursor_of, read_cursor
from gateway.generation.pipeline import Preview
from gateway.jobs.job import FINISHED, Filter, Job, Order, Page


class Entry:
    """A record that changes, and those who watch it."""

    def __init__(self, job: Job, order: Order) -> None:
        self.job = job
        self.fingerprint = order.fingerprint
        self.deadline_s = order.deadline_s
        self.task: asyncio.Task[None] | None = None
        self.taking: asyncio.Task[None] | None = None
        self.ending: asyncio.Task[None] | None = None
        self.ended_at: float | None = None
        self.changed = asyncio.Event()

    async def taken(self) -> None:
        """Returns once what follows from its being taken is written, which goes on even if the caller doesn't wait."""
        if self.taking is not None:
            await asyncio.shield(self.taking)

    def update(self, **changes: object) -> None:
        self.job = replace(self.job, **changes)  # type: ignore[arg-type]
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def advance(self, step: int, steps: int, preview: Preview | None) -> None:
        self.update(step=step, steps=steps, preview=preview or self.job.preview)

    def finish(self, job: Job) -> None:
        FINISHED.labels(job.status).inc()
        self.ended_at = time.monotonic()
        self.job = job
        self.update()


def page(jobs: Iterable[Job], which: Filter, limit: int, after: str | None) -> Page:
    """Some of an owner's `jobs`, the newest first; see JobEngine."""
    before = read_cursor(after)
    found = sorted((job for job in jobs if _fits(job, which)), key=_place, reverse=True)
    rest = [job for job in found if before is None or _place(job) < before]
    return Page(tuple(rest[:limit]), cursor_of(*_place(rest[limit - 1])) if len(rest) > limit else None)


def _place(job: Job) -> tuple[float, str]:
    return job.created_at.timestamp(), job.id


def _fits(job: Job, which: Filter) -> bool:
    return (
        (not which.statuses or job.status in which.statuses)
        and (not which.dialects or job.dialect in which.dialects)
        and (which.created_after is None or job.created_at > which.created_after)
    )
