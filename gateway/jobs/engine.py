"""The engine of jobs: takes them, has them run by the workflows, and says how they are doing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.database.connection import Database
from gateway.files.assets import Assets
from gateway.jobs import records
from gateway.jobs.job import SUBMITTED, Conductor, Filter, Job, Order, Outbox, Page, Status
from gateway.jobs.limits import Bounds, Timing
from gateway.jobs.places import Places
from gateway.jobs.rows import pictures_of
from gateway.jobs.upkeep import Upkeep
from gateway.jobs.work import JobWork
from gateway.workflows.port import Deliver, Notify, Workflows, deliver_nothing, notify_nobody
from mesh.errors import MeshError, Unavailable
from mesh.periodic import every
from mesh.pictures import check
from mesh.telemetry import log

_LOWEST = 1_000_000


class JobEngine:
    """Takes jobs and says how they are doing. Another owner's job is as unknown as one that never was.

    The records are shared by as many processes as there are. An accepted job ends once, whatever dies: where workflows
    outlive their process, they are taken up by another one, or by the next; a record has one final state. Jobs of the
    queue come in the order of their rank among their owner's, so that an owner with many does not keep others waiting.
    A process takes from the queue as many jobs as it has places; these and the jobs of waiting callers share the places
    in the order of asking, so that neither kind starves the other.

    Args:
        database: of the records.
        workflows: run the jobs.
        conduct: makes the pictures of a generation.
        assets: where pictures lie: those that were sent, and those that were made.
        bounds: how much there may be; `max_pictures` is also what the workflows take from the queue at once.
        outbox, notify: what follows from a job is written by the one, and told to the other; see there.
        timing: how long it waits for what.

    Attributes:
        executor: name of this process.
        work: the steps of the jobs' workflows.
    """

    def __init__(
        self,
        database: Database,
        workflows: Workflows,
        conduct: Conductor,
        assets: Assets,
        bounds: Bounds,
        *,
        outbox: Outbox = lambda connection, job: None,
        notify: Notify = notify_nobody,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self.executor = workflows.executor
        self.work = JobWork(
            self.executor,
            database,
            assets,
            conduct,
            Places(bounds.max_pictures),
            outbox,
            notify,
            self._timing.patience_s,
        )
        self._database = database
        self._workflows = workflows
        self._assets = assets
        self._outbox = outbox
        self._notify = notify
        self._max_waiting = bounds.max_waiting
        self._upkeep = Upkeep(database, workflows, assets, bounds.retention_s, self.work)
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def open(self, deliver: Deliver = deliver_nothing) -> None:
        """Take part: begin to beat, and to take jobs.

        Args:
            deliver: attempts deliveries, which the same workflows keep going.

        Raises:
            SettingsError: the database of the workflows can't be opened.
        """
        await self._database.run(partial(records.beat, executor=self.executor))
        await self._workflows.open(self.work, deliver)
        self._upkeep.open()
        looks = ((self._timing.keep_s, self.work.keep), (self._timing.look_s, self.work.changes.look))
        self._tasks = [asyncio.create_task(every(seconds, act)) for seconds, act in looks]

    async def close(self) -> None:
        """Take no more. What is not finished is given to other processes where there can be any, else cancelled."""
        self._closing = True
        await self._upkeep.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.work.close()
        await self._workflows.close()
        with suppress(MeshError):
            if not self._database.durable:
                for id in await self._database.run(records.unfinished):
                    await self.work.end(id, Status.CANCELLED)
            await self._database.run(partial(records.leave, executors=[self.executor]))

    async def submit(self, order: Order) -> Job:
        """Take a job, or find the one that `order.id` names already.

        Raises:
            Overloaded: too many wait already.
            Conflict: `order.id` stands for another request.
            Unavailable: the records can't be written; nothing was taken.
        """
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
            await self._notify(placed.job.id)
        return placed.job

    async def _begin(self, id: str, order: Order, ahead: int) -> None:
        if order.at_once:
            await self._workflows.start(id, id)
        else:
            await self._workflows.enqueue(id, id, _rank(ahead, order.priority))

    async def _stored(self, order: Order) -> dict[str, str]:
        """The pictures that were sent, put where whoever runs the job finds them: place -> name."""
        inputs = {}
        for place, content in pictures_of(order.generation).items():
            inputs[place] = self._assets.new_name(check(content, field=place)[0].lower())
            await self._assets.put(inputs[place], content)
        return inputs

    async def get(self, id: str, owner: str) -> Job:
        """The record now; NotFound."""
        job = self.work.job(id)
        if job and job.owner == owner:
            return job
        return await self._database.run(partial(records.get, id=id, owner=owner))

    async def find(self, number: int, owner: str) -> Job:
        """The record of the job with this number; NotFound."""
        job = await self._database.run(partial(records.find, number=number, owner=owner))
        return self.work.job(job.id) or job

    async def page(self, owner: str, which: Filter, limit: int, after: str | None = None) -> Page:
        """At most `limit` records, the newest first, from the cursor `after` on; InvalidInput for a broken cursor."""
        return await self._database.run(partial(records.page, owner=owner, which=which, limit=limit, after=after))

    async def watch(self, id: str, owner: str) -> AsyncIterator[Job]:
        """The record now and after each change, up to the final one; a slow reader misses steps, never the end."""
        told: tuple[object, ...] | None = None
        while True:
            changed = self.work.changes.of(id)
            job = await self.get(id, owner)
            changes = (job.status, job.step, job.steps, job.preview)
            if changes != told:
                told = changes
                yield job
            if job.is_finished:
                return
            await changed.wait()

    async def wait(self, id: str, owner: str, timeout_s: float) -> Job:
        """The final record, or the one after `timeout_s` seconds."""
        job = await self.get(id, owner)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                async for now in self.watch(id, owner):
                    job = now
        return job

    async def cancel(self, id: str, owner: str) -> Job:
        """Stop it if it is not finished; the record then."""
        await self.get(id, owner)
        await self.work.end(id, Status.CANCELLED)
        return await self._database.run(partial(records.get, id=id, owner=owner))

    async def clear(self, owner: str) -> int:
        """Cancel all that wait; says how many."""
        waiting = await self._database.run(partial(records.waiting_of, owner=owner))
        ended = [await self.work.end(id, Status.CANCELLED) for id in waiting]
        return sum(ended)

    def load(self) -> tuple[int, int]:
        """How many are being made in this process and how many wait."""
        return self.work.running, self._upkeep.waiting


def _rank(ahead: int, priority: int) -> int:
    """Place in the queue: first everybody's first job, then everybody's second; within these the urgent ones."""
    return min(1 + 10 * ahead + (9 - priority), _LOWEST)
