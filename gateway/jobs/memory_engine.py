"""Jobs that live and die with this process: their records, their turn, their progress."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from gateway.database.connection import Database
from gateway.files.assets import Assets
from gateway.jobs.job import (
    NUMBERS,
    OLDEST,
    QUEUED,
    RUNNING,
    SUBMITTED,
    Conductor,
    Filter,
    Job,
    Order,
    Outbox,
    Page,
    Status,
    StoredPicture,
    check_room,
    check_same,
    is_own,
    too_late,
    unknown,
)
from gateway.jobs.memory_records import Entry, page
from gateway.jobs.places import Places
from gateway.workflows.port import Notify, notify_nobody
from mesh.errors import InternalError, MeshError, Unavailable
from mesh.telemetry import log


class MemoryJobs:
    """The JobEngine whose records live and die with this process; turns come in the order of asking.

    Args:
        conduct: makes the pictures of a generation.
        assets: where they go.
        max_pictures: pictures made at the same time.
        max_waiting: generations that may wait.
        max_records: finished records remembered.
        retention_s: seconds that a finished record is remembered.
        database, outbox, written: what follows from a job is written there by this; see Outbox, and Notify.
    """

    def __init__(
        self,
        conduct: Conductor,
        assets: Assets,
        *,
        max_pictures: int,
        max_waiting: int,
        max_records: int,
        retention_s: float,
        database: Database | None = None,
        outbox: Outbox = lambda connection, job: None,
        written: Notify = notify_nobody,
    ) -> None:
        self._conduct = conduct
        self._assets = assets
        self._places = Places(max_pictures)
        self._max_waiting = max_waiting
        self._max_records = max_records
        self._retention_s = retention_s
        self._database = database
        self._outbox, self._tell = outbox, written
        self._entries: dict[str, Entry] = {}
        self._closed = False
        QUEUED.set_function(lambda: len(self._queued()))
        OLDEST.set_function(self._oldest_s)

    async def submit(self, order: Order) -> Job:
        if known := self._entries.get(order.id):
            check_same(order, known.job.owner, known.fingerprint)
            await known.taken()
            return known.job
        if self._closed:
            raise Unavailable("this gateway is going away; send the request again", retry_after_s=1)
        queued = self._queued()
        own = sum(job.owner == order.owner for job in queued)
        check_room(order, len(queued), own, self._max_waiting)
        self._forget()
        names = tuple(self._assets.new_name(order.generation.format) for _ in range(order.generation.samples))
        job = Job(
            id=order.id or secrets.token_hex(16),
            owner=order.owner,
            generation=order.generation,
            assets=names,
            number=self._new_number(),
            dialect=order.dialect,
            echo=order.echo,
            priority=order.priority,
            webhook=order.webhook,
            task=order.task,
            steps=order.generation.steps * order.generation.samples,
        )
        entry = self._entries[job.id] = Entry(job, order)
        SUBMITTED.labels(order.dialect).inc()
        entry.taking = asyncio.create_task(self._follow(entry.job))
        try:
            await entry.taken()
        finally:
            # Also for a caller who left. It may have been cancelled meanwhile, by somebody who found it under its id.
            if entry.ending is None:
                # The task carries the request id and the trace of the request on to the services.
                entry.task = asyncio.create_task(self._run(entry))
        return job

    def _queued(self) -> list[Job]:
        return [entry.job for entry in self._entries.values() if entry.job.status == Status.QUEUED]

    def _oldest_s(self) -> float:
        first = min((job.created_at for job in self._queued()), default=None)
        return 0.0 if first is None else (datetime.now(UTC) - first).total_seconds()

    def _new_number(self) -> int:
        taken = {entry.job.number for entry in self._entries.values()}
        while (number := secrets.choice(NUMBERS)) in taken:
            pass
        return number

    async def get(self, id: str, owner: str) -> Job:
        return self._entry(id, owner).job

    async def find(self, number: int, owner: str) -> Job:
        ids = [entry.job.id for entry in self._entries.values() if entry.job.number == number]
        return self._entry(ids[0] if ids else "", owner).job

    async def page(self, owner: str, which: Filter, limit: int, after: str | None = None) -> Page:
        return page((e.job for e in self._entries.values() if e.job.owner == owner), which, limit, after)

    async def watch(self, id: str, owner: str) -> AsyncIterator[Job]:
        entry = self._entry(id, owner)
        while True:
            job, changed = entry.job, entry.changed
            yield job
            if job.is_finished:
                return
            await changed.wait()

    async def wait(self, id: str, owner: str, timeout_s: float) -> Job:
        entry = self._entry(id, owner)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not entry.job.is_finished:
                    await entry.changed.wait()
        return entry.job

    async def cancel(self, id: str, owner: str) -> Job:
        entry = self._entry(id, owner)
        await self._stop([entry])
        return entry.job

    async def clear(self, owner: str) -> int:
        own = [e for e in self._entries.values() if e.job.owner == owner and e.job.status == Status.QUEUED]
        await self._stop(own)
        return len(own)

    def load(self) -> tuple[int, int]:
        running = sum(entry.job.status == Status.RUNNING for entry in self._entries.values())
        return running, len(self._queued())

    async def close(self) -> None:
        """Take no more and stop what is not finished."""
        self._closed = True
        await self._stop([entry for entry in self._entries.values() if not entry.job.is_finished])

    def _entry(self, id: str, owner: str) -> Entry:
        entry = self._entries.get(id)
        if entry is None or not is_own(id, entry.job.owner, owner):
            raise unknown()
        return entry

    async def _stop(self, entries: list[Entry]) -> None:
        tasks = [entry.task for entry in entries if entry.task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for entry in entries:
            # A task that was cancelled before its first step never saw it.
            await self._end(entry, Status.CANCELLED)

    async def _run(self, entry: Entry) -> None:
        try:
            places = entry.job.generation.samples
            async with asyncio.timeout(entry.deadline_s):
                await entry.taken()
                await self._places.acquire(places)
                try:
                    with RUNNING.track_inprogress():
                        await self._make(entry)
                finally:
                    self._places.release(places)
        except TimeoutError:
            await self._end(entry, Status.FAILED, error=too_late())
        except asyncio.CancelledError:
            await self._end(entry, Status.CANCELLED)
        except MeshError as error:
            await self._end(entry, Status.FAILED, error=error)
        except Exception as error:
            log.error("unexpected error", exc_info=error, generation=entry.job.id)
            unexpected = InternalError("an unexpected error happened; the log has the details")
            await self._end(entry, Status.FAILED, error=unexpected)

    async def _end(self, entry: Entry, status: Status, **changes: Any) -> None:
        """Give the record its final state, unless it has one or gets one: the first end counts, even if interrupted."""
        if entry.ending is None:
            entry.ending = asyncio.create_task(self._write_end(entry, status, changes))
        await asyncio.shield(entry.ending)

    async def _write_end(self, entry: Entry, status: Status, changes: dict[str, Any]) -> None:
        final = replace(
            entry.job,
            status=status,
            generation=entry.job.generation.without_pictures(),
            preview=None,
            finished_at=datetime.now(UTC),
            **changes,
        )
        await entry.taken()
        await self._follow(final, partial(entry.finish, final))

    async def _follow(self, job: Job, settle: Callable[[], None] = lambda: None) -> None:
        """Write what follows from a job that was taken, or has ended; `settle` its record; have told of it."""
        if self._database is not None:
            try:
                await self._database.run(lambda connection: self._outbox(connection, job))
            except Exception as error:
                # A job that is made, or is going to be: a record that nobody could end would be worse than one without
                # followers.
                log.error("what follows from a job can't be written", exc_info=error, generation=job.id)
        settle()
        await self._tell(job.id)

    async def _make(self, entry: Entry) -> None:
        job = entry.job
        entry.update(status=Status.RUNNING, started_at=datetime.now(UTC), attempts=1)
        outcome = await self._conduct(job.generation, entry.advance, job.task)
        made = list(zip(job.assets, outcome.pictures, strict=True))
        await asyncio.gather(*(self._assets.put(name, picture.content, job.owner) for name, picture in made))
        pictures = tuple(StoredPicture.of(name, picture) for name, picture in made)
        await self._end(
            entry,
            Status.SUCCEEDED,
            pictures=pictures,
            notes=outcome.notes,
            prompt=outcome.prompt,
            negative_prompt=outcome.negative_prompt,
            step=entry.job.steps,
        )

    def _forget(self) -> None:
        ended = sorted((entry.ended_at, id) for id, entry in self._entries.items() if entry.ended_at is not None)
        oldest = time.monotonic() - self._retention_s
        surplus = len(ended) - self._max_records + 1
        for index, (at, id) in enumerate(ended):
            if index < surplus or at < oldest:
                del self._entries[id]
