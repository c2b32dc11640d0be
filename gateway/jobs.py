"""Generations in this process: their records, their turn, their progress.

`JobEngine` is the port: everything else knows only it, so that an engine with durable records can take this place.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from prometheus_client import Counter, Gauge

from gateway.assets import Assets
from gateway.generation import Generation
from gateway.pipeline import Outcome, Preview, Progress
from gateway.turns import Turns
from mesh.errors import InternalError, MeshError, NotFound, Overloaded, Unavailable
from mesh.telemetry import log

FINISHED = Counter("cn_jobs_finished_total", "Generations that ended, by status.", ["status"])
RUNNING = Gauge("cn_jobs_running", "Generations being made.")
WAITING = Gauge("cn_jobs_waiting", "Generations waiting for their turn.")

Conductor = Callable[[Generation, Progress], Awaitable[Outcome]]


class Status(StrEnum):
    """Where a generation is; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class StoredPicture:
    """A finished picture: its name among the assets, its seed, its size in pixels."""

    asset: str
    seed: int
    width: int
    height: int


@dataclass(frozen=True)
class Job:
    """A generation's record at one moment.

    Attributes:
        id: 128 random bits in hex.
        owner: holder of the key that it was asked with.
        generation: what was asked, as the catalogue resolved it; without the pictures' bytes once finished.
        assets: names under which the pictures will lie, decided at the start.
        step, steps: model calls done and in all, over all pictures.
        preview: the last one, while it runs.
        prompt, negative_prompt: the words that were encoded, after enhancement; None until it has succeeded.
        error: why it failed.
    """

    id: str
    owner: str
    generation: Generation
    assets: tuple[str, ...]
    status: Status = Status.QUEUED
    step: int = 0
    steps: int = 0
    preview: Preview | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    pictures: tuple[StoredPicture, ...] = ()
    notes: tuple[str, ...] = ()
    error: MeshError | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.status not in (Status.QUEUED, Status.RUNNING)


class JobEngine(Protocol):
    """Takes generations and says how they are doing. Another owner's generation is as unknown as one that never was."""

    async def submit(self, generation: Generation, owner: str) -> Job:
        """Take `generation`, resolved by the catalogue; Overloaded when too many wait already."""

    async def get(self, id: str, owner: str) -> Job:
        """The record now; NotFound."""

    def watch(self, id: str, owner: str) -> AsyncIterator[Job]:
        """The record now and after each change, up to the final one; a slow reader misses steps, never the end."""

    async def wait(self, id: str, owner: str, timeout_s: float) -> Job:
        """The final record, or the one after `timeout_s` seconds."""

    async def cancel(self, id: str, owner: str) -> Job:
        """Stop it if it is not finished; the record then."""

    def load(self) -> tuple[int, int]:
        """How many are being made and how many wait."""


class _Entry:
    """A record that changes, and those who watch it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.task: asyncio.Task[None] | None = None
        self.ended_at: float | None = None
        self.changed = asyncio.Event()

    def update(self, **changes: object) -> None:
        self.job = replace(self.job, **changes)  # type: ignore[arg-type]
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def advance(self, step: int, steps: int, preview: Preview | None) -> None:
        self.update(step=step, steps=steps, preview=preview or self.job.preview)

    def finish(self, status: Status, **changes: object) -> None:
        if self.job.is_finished:
            return
        FINISHED.labels(status).inc()
        self.ended_at = time.monotonic()
        generation = self.job.generation.without_pictures()
        self.update(status=status, generation=generation, preview=None, finished_at=datetime.now(UTC), **changes)


class MemoryJobs:
    """The JobEngine whose records live and die with this process.

    Args:
        conduct: makes the pictures of a generation.
        assets: where they go.
        max_pictures: pictures made at the same time.
        max_waiting: generations that may wait.
        max_records: finished records remembered.
        retention_s: seconds that a finished record is remembered.
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
    ) -> None:
        self._conduct = conduct
        self._assets = assets
        self._turns = Turns(max_pictures)
        self._max_waiting = max_waiting
        self._max_records = max_records
        self._retention_s = retention_s
        self._entries: dict[str, _Entry] = {}
        self._closed = False

    async def submit(self, generation: Generation, owner: str) -> Job:
        if self._closed:
            raise Unavailable("this gateway is going away; send the request again", retry_after_s=1)
        if self._turns.waiting >= self._max_waiting:
            raise Overloaded(f"{self._turns.waiting} generations are waiting already; try again later", retry_after_s=5)
        self._forget()
        names = tuple(self._assets.new_name(generation.format) for _ in range(generation.samples))
        job = Job(id=secrets.token_hex(16), owner=owner, generation=generation, assets=names)
        entry = self._entries[job.id] = _Entry(replace(job, steps=generation.steps * generation.samples))
        # The task carries the request id and the trace of the request on to the services.
        entry.task = asyncio.create_task(self._run(entry))
        return entry.job

    async def get(self, id: str, owner: str) -> Job:
        return self._entry(id, owner).job

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

    def load(self) -> tuple[int, int]:
        running = sum(entry.job.status == Status.RUNNING for entry in self._entries.values())
        return running, self._turns.waiting

    async def close(self) -> None:
        """Take no more and stop what is not finished."""
        self._closed = True
        await self._stop([entry for entry in self._entries.values() if not entry.job.is_finished])

    def _entry(self, id: str, owner: str) -> _Entry:
        entry = self._entries.get(id)
        if entry is None or entry.job.owner != owner:
            raise NotFound("there is no such generation, or it was kept long enough")
        return entry

    async def _stop(self, entries: list[_Entry]) -> None:
        tasks = [entry.task for entry in entries if entry.task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for entry in entries:
            # A task that was cancelled before its first step never saw it.
            entry.finish(Status.CANCELLED)

    async def _run(self, entry: _Entry) -> None:
        try:
            places = entry.job.generation.samples
            with WAITING.track_inprogress():
                await self._turns.take(places)
            try:
                with RUNNING.track_inprogress():
                    await self._make(entry)
            finally:
                self._turns.give_back(places)
        except asyncio.CancelledError:
            entry.finish(Status.CANCELLED)
        except MeshError as error:
            entry.finish(Status.FAILED, error=error)
        except Exception as error:
            log.error("unexpected error", exc_info=error, generation=entry.job.id)
            entry.finish(Status.FAILED, error=InternalError("an unexpected error happened; the log has the details"))

    async def _make(self, entry: _Entry) -> None:
        job = entry.job
        entry.update(status=Status.RUNNING, started_at=datetime.now(UTC))
        outcome = await self._conduct(job.generation, entry.advance)
        await asyncio.gather(
            *(
                self._assets.put(name, picture.content)
                for name, picture in zip(job.assets, outcome.pictures, strict=True)
            )
        )
        pictures = tuple(
            StoredPicture(name, picture.seed, picture.width, picture.height)
            for name, picture in zip(job.assets, outcome.pictures, strict=True)
        )
        entry.finish(
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
