"""One run of a job in this process: load its pictures, wait for places, generate with retries, store the results."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from gateway.database.connection import Database, RecordsAway
from gateway.files.assets import Assets
from gateway.generation.generation import Generation
from gateway.generation.pipeline import Outcome as Made
from gateway.generation.pipeline import Preview
from gateway.jobs import records
from gateway.jobs.job import Conductor, Status, StoredPicture, too_late
from gateway.jobs.places import Places, cost
from gateway.jobs.rows import error_row, stored_row, with_pictures
from gateway.workflows.port import Outcome
from mesh.errors import InternalError, InvalidInput, MeshError, NotFound, Overloaded, Unavailable, unexpected
from mesh.telemetry import carry_on, log

Answer = TypeVar("Answer")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
RECORDS_PAUSE_S = 0.5
"""Pause in seconds before an unavailable database is queried again."""
MOST_ATTEMPTS = 20
"""A job is failed after so many starts without an end: it probably crashes its process."""
_PASSING = (Unavailable, Overloaded)


@dataclass(frozen=True)
class RunContext:
    """What this process runs its jobs with.

    Attributes:
        executor: name of this process.
        database: of the records.
        assets: stores input pictures and results.
        conduct: runs a generation.
        places: for the pictures being made; shared by all jobs.
        patience_s: see Timing.
    """

    executor: str
    database: Database
    assets: Assets
    conduct: Conductor
    places: Places
    patience_s: float


class Attempt:
    """One run of a job.

    Args:
        begun: its record, with this process as the one that runs it.
        context: what it is run with.
        changed: called after every change of `job`.

    Attributes:
        job: the record in memory, which may be some steps ahead of the database.
        over: set when this run has ended.
        ended: whether the record in the database is final.
        has_stored: whether it began to store results.
    """

    def __init__(self, begun: records.Begun, context: RunContext, changed: Callable[[], None]) -> None:
        self.job = begun.job
        self.over = asyncio.Event()
        self.ended = False
        self.has_stored = False
        self._begun = begun
        self._context = context
        self._changed = changed
        self._task: asyncio.Task[Outcome] | None = None

    def stop(self) -> bool:
        """Stop this run without changing the record; False if it has not started or has ended."""
        return self._task is not None and self._task.cancel()

    async def run(self) -> Outcome:
        """Run the job and return the outcome, also of failures. Raises only if the database is not available.

        A success has `pictures`, `notes`, `prompt`, `negative_prompt`, `step`, `steps`; a failure has `error`;
        `stopped` is set if it was stopped, `over` if the job had already ended.
        """
        carry_on(self._begun.carried)
        if self._begun.too_late:
            return {"error": error_row(too_late())}
        if self.job.attempts > MOST_ATTEMPTS:
            log.error("generation given up", generation=self.job.id, attempts=self.job.attempts)
            return {
                "error": error_row(
                    InternalError("the generation was started too often without finishing; try a different one")
                )
            }
        self._task = asyncio.create_task(self._through())
        try:
            return await self._task
        except asyncio.CancelledError:
            return {"stopped": True}
        except MeshError as error:
            return {"error": error_row(error)}
        except Exception as error:
            log.error("unexpected error", exc_info=error, generation=self.job.id)
            return {"error": error_row(unexpected())}

    async def _through(self) -> Outcome:
        job = self.job
        places, work = job.generation.samples, cost(job.generation, job.task)
        await self._context.places.acquire(places, job.owner, work, job.priority)
        try:
            # Only now: what waits takes no memory for its pictures.
            generation = with_pictures(job.generation, await self._pictures())
            start = partial(records.start, id=self.job.id, executor=self._context.executor)
            if not await self._answered(lambda: self._context.database.run(start)):
                return {"over": True}
            self._update(status=Status.RUNNING, started_at=self.job.started_at or datetime.now(UTC))
            made = await self._tried(generation)
        finally:
            self._context.places.release(places, job.owner)
        return await self._stored(made)

    async def _tried(self, generation: Generation) -> Made:
        """Make the pictures; an unavailable mesh is retried for a while if nobody waits for the answer."""
        patience_s = 0.0 if self._begun.at_once and self.job.attempts == 1 else self._context.patience_s
        pause_s, ends_at = FIRST_PAUSE_S, time.monotonic() + patience_s
        while True:
            try:
                return await self._context.conduct(generation, self._advance, self.job.task, self.job.owner)
            except _PASSING as error:
                if time.monotonic() + pause_s > ends_at:
                    raise
                log.warning("generation retried", generation=self.job.id, reason=error.message, pause_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _pictures(self) -> Mapping[str, bytes]:
        try:
            get, inputs = self._context.assets.get, self._begun.inputs.items()
            return {place: (await self._answered(partial(get, name))).content for place, name in inputs}
        except NotFound:
            raise InvalidInput("a picture of the request has expired; send the request again") from None

    async def _stored(self, made: Made) -> Outcome:
        self.has_stored = True
        named = list(zip(self.job.assets, made.pictures, strict=True))
        puts = [partial(self._context.assets.put, name, picture.content, self.job.owner) for name, picture in named]
        await asyncio.gather(*map(self._answered, puts))
        return {
            "pictures": [stored_row(StoredPicture.of(name, picture)) for name, picture in named],
            "notes": list(made.notes),
            "prompt": made.prompt,
            "negative_prompt": made.negative_prompt,
            "step": self.job.steps,
            "steps": self.job.steps,
        }

    async def _answered(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The result of `ask`, retried while the database is not available, so that an outage fails no job."""
        while True:
            try:
                return await ask()
            except RecordsAway:
                await asyncio.sleep(RECORDS_PAUSE_S)

    def _advance(self, step: int, steps: int, preview: Preview | None) -> None:
        self._update(step=step, steps=steps, preview=preview or self.job.preview)

    def _update(self, **changes: Any) -> None:
        self.job = replace(self.job, **changes)
        self._changed()
