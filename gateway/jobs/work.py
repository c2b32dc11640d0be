"""The jobs running in this process: the steps of their workflows, their progress, and their end."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection

from gateway.jobs import records
from gateway.jobs.attempt import Attempt, RunContext
from gateway.jobs.changes import Changes
from gateway.jobs.job import FINISHED, RUNNING, Job, Outbox, Status
from gateway.workflows.port import Notify, Outcome
from mesh.errors import MeshError


class JobWork:
    """Implements the steps of the jobs' workflows.

    Args:
        context: what this process runs its jobs with.
        outbox, notify: called in the transaction of a job's end, and after its commit; see there.

    Attributes:
        changes: notifies the waiters for jobs.
    """

    def __init__(self, context: RunContext, outbox: Outbox, notify: Notify) -> None:
        self.changes = Changes(context.database, self.runs)
        self._context = context
        self._outbox = outbox
        self._notify = notify
        self._attempts: dict[str, Attempt] = {}
        self._closing = False

    async def close(self) -> None:
        """Start no more jobs; stop the running ones, and hand them over."""
        self._closing = True
        stopping = [attempt for attempt in self._attempts.values() if attempt.stop()]
        await asyncio.gather(*(attempt.over.wait() for attempt in stopping))

    def job(self, id: str) -> Job | None:
        """The in-memory record, ahead of the database, of a job running here; None for others."""
        attempt = self._attempts.get(id)
        return attempt.job if attempt and not attempt.ended else None

    def runs(self, id: str) -> bool:
        """Whether this process itself notifies the waiters for a job."""
        return self.job(id) is not None

    def takes(self, owner: str) -> bool:
        """Whether a job of `owner` may begin to wait for its places here, without queueing: if none of its jobs does,
        or few jobs of all owners do."""
        waiting = [attempt.job.owner for attempt in self._attempts.values() if attempt.job.status == Status.QUEUED]
        return owner not in waiting or len(waiting) < self._context.places.number

    def has(self, id: str) -> bool:
        """Whether this process still works on a job, including its cleanup."""
        return id in self._attempts

    @property
    def running(self) -> int:
        """Number of running jobs."""
        return sum(attempt.job.status == Status.RUNNING for attempt in self._attempts.values())

    # --- the workflow's steps -----------------------------------------------------------------------------------

    async def make(self, job_id: str) -> Outcome:
        """See gateway.workflows.port.Work."""
        if self._closing:
            return {"stopped": True}
        begun = await self._context.database.run(partial(records.begin, id=job_id, executor=self._context.executor))
        if begun is None:
            return {"over": True}
        attempt = Attempt(begun, self._context, partial(self.changes.wake, job_id))
        self._attempts[job_id] = attempt
        self.changes.wake(job_id)
        try:
            with RUNNING.track_inprogress():
                outcome = await attempt.run()
            if "stopped" in outcome and self._closing:
                await self._context.database.run(partial(records.hand_over, id=job_id, executor=self._context.executor))
            elif attempt.has_stored and "pictures" not in outcome:
                await self._drop_results(job_id)
            return outcome
        finally:
            attempt.over.set()
            self._attempts.pop(job_id, None)

    async def settle(self, job_id: str, outcome: Outcome) -> None:
        """See gateway.workflows.port.Work."""
        if "error" in outcome:
            await self.end(job_id, Status.FAILED, error=outcome["error"])
        elif "pictures" in outcome and not await self.end(job_id, Status.SUCCEEDED, **outcome):
            await self._drop_results(job_id)
        self.changes.wake(job_id)

    async def _drop_results(self, job_id: str) -> None:
        """Remove the files of a job that was cancelled, or failed, when results were stored already: without records
        nothing else counts them, nor removes them before the end of the retention time."""
        job = await self._context.database.run(partial(records.any_owners, id=job_id))
        # Another process may be making it again under the same names, or may have made it.
        if job.is_finished and job.status != Status.SUCCEEDED:
            await self._removed(job.assets)

    async def _removed(self, names: Sequence[str]) -> None:
        """Remove files; what can't be removed now is left to the sweep of old files."""
        with suppress(MeshError):
            await self._context.assets.remove(names)

    # --- progress and end ---------------------------------------------------------------------------------------

    async def end(self, id: str, status: Status, **changes: Any) -> bool:
        """Set the record's final state and write the deliveries; False if it already had one."""

        def end(connection: Connection) -> list[str] | None:
            if not records.settle(connection, id, status, **changes):
                return None
            self._outbox(connection, records.any_owners(connection, id))
            return records.inputs_of(connection, id)

        inputs = await self._context.database.run(end)
        ended = inputs is not None
        if inputs is not None:
            FINISHED.labels(status).inc()
        if attempt := self._attempts.get(id):
            attempt.ended = True
            attempt.stop()
        self.changes.wake(id)
        if inputs is not None:
            await self._notify(id)
            # Nobody reads them any more. What can't be removed now goes with the record, or with old files.
            await self._removed(inputs)
        return ended

    async def keep(self) -> None:
        """Write progress; stop jobs whose record is no longer assigned to this process."""
        attempts = list(self._attempts.values())
        if not attempts:
            return

        def note(connection: Connection) -> Sequence[Attempt]:
            return [
                attempt
                for attempt in attempts
                if not records.advance(
                    connection, attempt.job.id, self._context.executor, attempt.job.step, attempt.job.steps
                )
            ]

        for lost in await self._context.database.run(note):
            lost.stop()
