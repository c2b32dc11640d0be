"""Jobs that survive the processes that run them: records in the database, DBOS to keep them going."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.database.connection import Database
from gateway.files.assets import Assets
from gateway.jobs import records
from gateway.jobs.attempt import Attempt, Outcome
from gateway.jobs.changes import LOOK_S, Changes
from gateway.jobs.job import FINISHED, RUNNING, SUBMITTED, Conductor, Filter, Job, Order, Outbox, Page, Status
from gateway.jobs.places import Places
from gateway.jobs.rows import pictures_of
from gateway.jobs.upkeep import Upkeep
from gateway.workflows.dbos import Workflows
from gateway.workflows.port import Deliver, Notify, notify_nobody
from mesh.errors import MeshError, Unavailable
from mesh.periodic import every
from mesh.pictures import check
from mesh.telemetry import log

KEEP_S = 0.5
"""How often progress is written and a job's record is asked whether it goes on."""
_LOWEST = 1_000_000


class DurableJobs:
    """The JobEngine over a database, shared by as many processes as there are.

    An accepted job ends once, whatever dies: its workflow is taken up by another process, or by the next one; a record
    has one final state. Jobs of the queue come in the order of their rank among their owner's, so that an owner with
    many does not keep others waiting. A process takes from the queue as many jobs as it has places; these and the jobs
    of waiting callers share the places in the order of asking, so that neither kind starves the other.

    Args:
        database: of the records.
        url: the database's; DBOS opens it for itself.
        conduct: makes the pictures of a generation.
        assets: where pictures lie: those that were sent, and those that were made.
        outbox, written: what follows from a job is written by the one, and told to the other; see there.
        deliver: tries a webhook; see gateway.workflows.port.
        max_pictures: pictures made at the same time in this process.
        max_waiting: jobs that may wait, over all processes.
        retention_s: seconds that a finished record is kept.
        poll_s: seconds between two looks at the queue.
        look_s: seconds between two looks at the records of jobs that are watched.
    """

    def __init__(
        self,
        database: Database,
        url: str,
        conduct: Conductor,
        assets: Assets,
        *,
        outbox: Outbox = lambda connection, job: None,
        written: Notify = notify_nobody,
        deliver: Deliver | None = None,
        max_pictures: int,
        max_waiting: int,
        retention_s: float,
        poll_s: float = 0.25,
        look_s: float = LOOK_S,
    ) -> None:
        self._database = database
        self._assets = assets
        self._outbox = outbox
        self._tell = written
        self._max_waiting = max_waiting
        self._look_s = look_s
        self.executor = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.workflows = Workflows(url, self.executor, max_pictures, poll_s, deliver)
        self._conduct = conduct
        self._places = Places(max_pictures)
        self._attempts: dict[str, Attempt] = {}
        self._changes = Changes(database, self._runs)
        self._closing = False
        self._upkeep = Upkeep(
            self.executor, database, self.workflows, assets, retention_s, self._end, lambda id: id in self._attempts
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Take part: begin to beat, and to take jobs."""
        await self._database.run(partial(records.beat, executor=self.executor))
        await self.workflows.open(self)
        self._upkeep.open()
        looks = ((KEEP_S, self._keep), (self._look_s, self._changes.look))
        self._tasks = [asyncio.create_task(every(seconds, act)) for seconds, act in looks]

    async def close(self) -> None:
        self._closing = True
        await self._upkeep.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        stopping = [attempt for attempt in self._attempts.values() if attempt.stop()]
        await asyncio.gather(*(attempt.over.wait() for attempt in stopping))
        await self.workflows.close()
        with suppress(MeshError):
            await self._database.run(partial(records.leave, executors=[self.executor]))

    async def submit(self, order: Order) -> Job:
        if self._closing:
            raise Unavailable("this gateway is going away; send the request again", retry_after_s=1)
        taking = asyncio.create_task(self._taken(order))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.shield(self._left(taking, order))
            raise

    async def _left(self, taking: asyncio.Task[Job], order: Order) -> None:
        """What remains of a submission whose caller left before there was an answer.

        Half of it would be taken up as a dead process's, so it goes on to its end; a caller who has no name to come
        back with wants nothing of it.
        """
        with suppress(MeshError):
            job = await taking
            if order.at_once and not order.id:
                await self.cancel(job.id, job.owner)

    async def _taken(self, order: Order) -> Job:
        inputs = await self._stored(order)
        names = [self._assets.new_name(order.generation.format) for _ in range(order.generation.samples)]

        def place(connection: Connection) -> records.Placed:
            placed = records.place(connection, order, inputs, names, self._max_waiting)
            if placed.is_new:
                self._outbox(connection, placed.job)
            return placed

        try:
            placed = await self._database.run(place)
        except IntegrityError:
            # Another process took the same id, or the same number, at the same moment: now it can be seen.
            placed = await self._database.run(place)
        if placed.is_new:
            SUBMITTED.labels(order.dialect).inc()
            try:
                await self._begin(placed.job.id, order, placed.ahead)
            except Exception as error:
                # The record stands, so the job is taken: it is begun as one whose process died here.
                log.error("job can't be begun at once", exc_info=error, generation=placed.job.id)
            await self._tell(placed.job.id)
        return placed.job

    async def _begin(self, id: str, order: Order, ahead: int) -> None:
        if order.at_once:
            await self.workflows.start(id, id)
        else:
            await self.workflows.enqueue(id, id, _rank(ahead, order.priority))

    async def get(self, id: str, owner: str) -> Job:
        attempt = self._attempts.get(id)
        if attempt and attempt.job.owner == owner and not attempt.ended:
            return attempt.job
        return await self._database.run(partial(records.get, id=id, owner=owner))

    async def find(self, number: int, owner: str) -> Job:
        job = await self._database.run(partial(records.find, number=number, owner=owner))
        attempt = self._attempts.get(job.id)
        return attempt.job if attempt and not attempt.ended else job

    async def page(self, owner: str, which: Filter, limit: int, after: str | None = None) -> Page:
        return await self._database.run(partial(records.page, owner=owner, which=which, limit=limit, after=after))

    async def watch(self, id: str, owner: str) -> AsyncIterator[Job]:
        told: tuple[object, ...] | None = None
        while True:
            changed = self._changes.of(id)
            job = await self.get(id, owner)
            changes = (job.status, job.step, job.steps, job.preview)
            if changes != told:
                told = changes
                yield job
            if job.is_finished:
                return
            await changed.wait()

    async def wait(self, id: str, owner: str, timeout_s: float) -> Job:
        job = await self.get(id, owner)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                async for now in self.watch(id, owner):
                    job = now
        return job

    async def cancel(self, id: str, owner: str) -> Job:
        await self.get(id, owner)
        await self._end(id, Status.CANCELLED)
        return await self._database.run(partial(records.get, id=id, owner=owner))

    async def clear(self, owner: str) -> int:
        waiting = await self._database.run(partial(records.waiting_of, owner=owner))
        ended = [await self._end(id, Status.CANCELLED) for id in waiting]
        return sum(ended)

    def load(self) -> tuple[int, int]:
        running = sum(attempt.job.status == Status.RUNNING for attempt in self._attempts.values())
        return running, self._upkeep.waiting

    # --- the workflow's steps -----------------------------------------------------------------------------------

    async def make(self, job_id: str) -> Outcome:
        """See gateway.workflows.dbos.Work."""
        if self._closing:
            return {"stopped": True}
        begun = await self._database.run(partial(records.begin, id=job_id, executor=self.executor))
        if begun is None:
            return {"over": True}
        changed = partial(self._changes.wake, job_id)
        attempt = Attempt(begun, self._database, self._assets, self._places, self._conduct, self.executor, changed)
        self._attempts[job_id] = attempt
        self._changes.wake(job_id)
        try:
            with RUNNING.track_inprogress():
                outcome = await attempt.run()
            if "stopped" in outcome and self._closing:
                await self._database.run(partial(records.hand_over, id=job_id, executor=self.executor))
            return outcome
        finally:
            attempt.over.set()
            self._attempts.pop(job_id, None)

    async def settle(self, job_id: str, outcome: Outcome) -> None:
        """See gateway.workflows.dbos.Work."""
        if "error" in outcome:
            await self._end(job_id, Status.FAILED, error=outcome["error"])
        elif "pictures" in outcome:
            await self._end(job_id, Status.SUCCEEDED, **outcome)
        self._changes.wake(job_id)

    async def _end(self, id: str, status: Status, **changes: Any) -> bool:
        """Give the record its final state, and write what follows; False if it had one."""

        def end(connection: Connection) -> bool:
            if not records.settle(connection, id, status, **changes):
                return False
            self._outbox(connection, records.any_owners(connection, id))
            return True

        ended = await self._database.run(end)
        if ended:
            FINISHED.labels(status).inc()
        if attempt := self._attempts.get(id):
            attempt.ended = True
            attempt.stop()
        self._changes.wake(id)
        if ended:
            await self._tell(id)
        return ended

    def _runs(self, id: str) -> bool:
        return id in self._attempts and not self._attempts[id].ended

    async def _stored(self, order: Order) -> dict[str, str]:
        """The pictures that were sent, put where whoever runs the job finds them: place -> name."""
        inputs = {}
        for place, content in pictures_of(order.generation).items():
            inputs[place] = self._assets.new_name(check(content, field=place)[0].lower())
            await self._assets.put(inputs[place], content)
        return inputs

    async def _keep(self) -> None:
        """Write progress; stop what the record does not know as this process's any more."""
        attempts = list(self._attempts.values())
        if not attempts:
            return

        def note(connection: Connection) -> list[Attempt]:
            return [
                attempt
                for attempt in attempts
                if not records.advance(connection, attempt.job.id, self.executor, attempt.job.step, attempt.job.steps)
            ]

        for lost in await self._database.run(note):
            lost.stop()


def _rank(ahead: int, priority: int) -> int:
    """Place in the queue: first everybody's first job, then everybody's second; within these the urgent ones."""
    return min(1 + 10 * ahead + (9 - priority), _LOWEST)
