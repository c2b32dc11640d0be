"""The job engine: accepts jobs, has the workflows run them, and reports their state."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.database.connection import Database, RecordsAway
from gateway.files.assets import Assets
from gateway.files.quota import Quota
from gateway.jobs import executors, records
from gateway.jobs.attempt import RunContext
from gateway.jobs.job import PRIORITIES, SUBMITTED, Conductor, Filter, Job, Order, Outbox, Page, Status
from gateway.jobs.limits import Bounds, Timing
from gateway.jobs.places import Places
from gateway.jobs.rows import pictures_of
from gateway.jobs.shares import check_size
from gateway.jobs.upkeep import Upkeep
from gateway.jobs.work import JobWork
from gateway.workflows.port import Deliver, Notify, Workflows, deliver_nothing, notify_nobody
from mesh.containers import head
from mesh.errors import MeshError, Unavailable
from mesh.periodic import every
from mesh.telemetry import log


class JobEngine:
    """Accepts jobs and reports their state. Another owner's job looks like an unknown one.

    All processes share the records. An accepted job ends exactly once, even if processes die: durable workflows are
    taken over by another process, or by the next one to start, and a record gets only one final state. A process
    dequeues as many jobs of each owner as it has places; these and the jobs of waiting callers get places in turns that
    share them evenly among owners, see gateway.jobs.places, so that neither kind starves the other.

    Args:
        database: of the records.
        workflows: run the jobs.
        conduct: runs a generation.
        assets: stores input pictures and results.
        bounds: the limits; `max_pictures` is also the number of queued jobs that the workflows run at once.
        quota: what an owner may store.
        outbox, notify: called in the transaction of a job's acceptance and end, and after its commit; see there.
        timing: polling intervals and patience.

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
        quota: Quota | None = None,
        outbox: Outbox = lambda connection, job: None,
        notify: Notify = notify_nobody,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self.executor = workflows.executor
        places = Places(bounds.max_pictures, bounds.everybody)
        context = RunContext(self.executor, database, assets, conduct, places, self._timing.patience_s)
        self.work = JobWork(context, outbox, notify)
        self._database = database
        self._workflows = workflows
        self._assets = assets
        self._outbox = outbox
        self._notify = notify
        self._bounds = bounds
        self._quota = quota or Quota()
        self._upkeep = Upkeep(database, workflows, assets, bounds.retention_s, self.work)
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def open(self, deliver: Deliver = deliver_nothing) -> None:
        """Start the heartbeat, and start to run jobs.

        Args:
            deliver: attempts deliveries, which the same workflows run.

        Raises:
            SettingsError: the database of the workflows can't be opened.
        """
        await self._database.run(partial(executors.beat, executor=self.executor))
        await self._workflows.open(self.work, deliver)
        self._upkeep.open()
        looks = ((self._timing.keep_s, self.work.keep), (self._timing.look_s, self.work.changes.look))
        self._tasks = [asyncio.create_task(every(seconds, act)) for seconds, act in looks]

    async def close(self) -> None:
        """Stop. Unfinished jobs are handed over to other processes if the records are durable, else cancelled."""
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
            await self._database.run(partial(executors.leave, executors=[self.executor]))

    async def submit(self, order: Order) -> Job:
        """Accept a job, or return the existing one with `order.id`.

        Raises:
            Overloaded: too many jobs are waiting.
            TooOften: too many of the owner's jobs are waiting or on record, or its files take too much.
            InvalidInput: the record would be too large.
            Conflict: `order.id` was used for another request.
            Unavailable: the database or the store is not available, or the disk is nearly full; nothing was accepted.
        """
        if self._closing:
            raise Unavailable("this gateway is shutting down; send the request again", retry_after_s=1)
        taking = asyncio.create_task(self._taken(order))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.shield(self._left(taking, order))
            raise

    async def _left(self, taking: asyncio.Task[Job], order: Order) -> None:
        """Finish a submission whose caller disconnected before it was answered.

        Half a submission would be taken for a dead process's, so it is completed; then the job is cancelled, unless the
        caller can come back for it by an idempotency key.
        """
        with suppress(MeshError):
            job = await taking
            if order.at_once and not order.id:
                await self.cancel(job.id, job.owner)

    async def _taken(self, order: Order) -> Job:
        check_size(order)
        inputs = await self._stored(order)
        names = [self._assets.new_name(order.generation.format) for _ in range(order.generation.samples)]

        def place(connection: Connection) -> records.Placed:
            placed = records.place(connection, order, inputs, names, self._bounds, self._quota)
            if placed.is_new:
                self._outbox(connection, placed.job)
            return placed

        try:
            try:
                placed = await self._database.run(place)
            except IntegrityError:
                # Another process inserted the same id or number at the same moment; now it is visible.
                placed = await self._database.run(place)
        except RecordsAway:
            # It may have been committed all the same, so the pictures stay.
            raise
        except MeshError:
            await self._removed(inputs.names.values())
            raise
        if not placed.is_new:
            await self._removed(inputs.names.values())
            return placed.job
        SUBMITTED.labels(order.dialect).inc()
        try:
            await self._begin(placed.job, order)
        except Exception as error:
            # The record is committed, so the job is accepted: upkeep starts it like one whose process died here.
            log.error("job can't be started at once", exc_info=error, generation=placed.job.id)
        await self._notify(placed.job.id)
        return placed.job

    async def _begin(self, job: Job, order: Order) -> None:
        # A caller who waits need not wait for the next look at the queue, unless that would let its owner pile up work
        # here: what waits here has a thread each, and no other process can take it.
        if order.at_once and self.work.takes(job.owner):
            await self._workflows.start(job.id, job.id)
        else:
            await self._workflows.enqueue(job.id, job.id, job.owner, PRIORITIES.stop - job.priority)

    async def _stored(self, order: Order) -> records.Inputs:
        """Store the input pictures for whichever process runs the job."""
        await self._assets.files.check_room()
        pictures = pictures_of(order.generation)
        names = {
            place: self._assets.new_name(head(content, field=place)[0].lower()) for place, content in pictures.items()
        }
        size = sum(map(len, pictures.values()))
        if pictures:
            admit = partial(records.admit, order=order, size=size, bounds=self._bounds, quota=self._quota)
            if await self._database.run(admit) is not None:
                return records.Inputs()
        try:
            for place, content in pictures.items():
                await self._assets.put(names[place], content)
        except BaseException:
            await self._removed(names.values())
            raise
        return records.Inputs(names, size)

    async def _removed(self, names: Iterable[str]) -> None:
        """Remove pictures of a job that was not placed; what can't be removed now is left to the sweep of old files."""
        with suppress(MeshError):
            await self._assets.remove(list(names))

    async def get(self, id: str, owner: str) -> Job:
        """The current record. NotFound."""
        job = self.work.job(id)
        if job and job.owner == owner:
            return job
        return await self._database.run(partial(records.get, id=id, owner=owner))

    async def find(self, number: int, owner: str) -> Job:
        """The current record of the job with this number. NotFound."""
        job = await self._database.run(partial(records.find, number=number, owner=owner))
        return self.work.job(job.id) or job

    async def page(self, owner: str, which: Filter, limit: int, after: str | None = None) -> Page:
        """A page of at most `limit` records after the cursor `after`, newest first; InvalidInput for a bad cursor."""
        return await self._database.run(partial(records.page, owner=owner, which=which, limit=limit, after=after))

    async def watch(self, id: str, owner: str) -> AsyncIterator[Job]:
        """Yield the current record and every change up to the final one. A slow reader may miss steps, not the end."""
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
        """Wait for the final record; returns the current one after `timeout_s` seconds."""
        job = await self.get(id, owner)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                async for now in self.watch(id, owner):
                    job = now
        return job

    async def cancel(self, id: str, owner: str) -> Job:
        """Cancel the job unless it has ended; returns the record."""
        await self.get(id, owner)
        await self.work.end(id, Status.CANCELLED)
        return await self._database.run(partial(records.get, id=id, owner=owner))

    async def clear(self, owner: str) -> int:
        """Cancel the owner's waiting jobs; returns their number."""
        waiting = await self._database.run(partial(records.waiting_of, owner=owner))
        ended = [await self.work.end(id, Status.CANCELLED) for id in waiting]
        return sum(ended)

    def last_load(self) -> tuple[int, int]:
        """As `load`, with the waiting jobs of the last poll; for metrics, which can't wait for the database."""
        return self.work.running, self._upkeep.waiting

    async def load(self) -> tuple[int, int]:
        """The number of jobs running in this process, and of jobs waiting now, over all processes."""
        waiting, _ = await self._database.run(records.waiting)
        return self.work.running, waiting
