"""Periodic upkeep of jobs: heartbeat, take over from dead executors, expire, purge."""

import asyncio
import time
from functools import partial

from gateway.database.connection import Database
from gateway.files.assets import Assets
from gateway.jobs import executors, records
from gateway.jobs.job import OLDEST, QUEUED, Status, too_late
from gateway.jobs.rows import error_row
from gateway.jobs.work import JobWork
from gateway.workflows.port import Workflows
from mesh.periodic import every, sweep_every_s
from mesh.telemetry import log

BEAT_S = 1.0
SILENT_S = 3.5
"""Seconds without a heartbeat after which a process is considered dead; heartbeats and checks are every second."""
_ORPHAN_S = 3.0
"""Age in seconds from which a job without a workflow is started again."""
_LOOK_S = 2.0
"""Interval in seconds of the search for this process's lost workflows."""
_GAP_S = SILENT_S - BEAT_S
"""If this process's own heartbeats are further apart than this, others' may be too, for the same reason."""


class Upkeep:
    """The upkeep of one process.

    Args:
        database, workflows, assets: as in JobEngine.
        retention_s: seconds for which a finished record is kept.
        work: the jobs running in this process.

    Attributes:
        waiting: number of waiting jobs over all processes, at the last check.
    """

    def __init__(
        self, database: Database, workflows: Workflows, assets: Assets, retention_s: float, work: JobWork
    ) -> None:
        self.waiting = 0
        self._executor = workflows.executor
        self._database = database
        self._workflows = workflows
        self._assets = assets
        self._retention_s = retention_s
        self._work = work
        self._oldest_s = 0.0
        self._beat_at = self._judges_from = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin."""
        QUEUED.set_function(lambda: self.waiting)
        OLDEST.set_function(lambda: self._oldest_s)
        self._tasks = [
            *(asyncio.create_task(every(BEAT_S, act)) for act in (self._beat, self._revive, self._adopt, self._expire)),
            asyncio.create_task(every(_LOOK_S, self._workflows.reclaim)),
            asyncio.create_task(every(sweep_every_s(self._retention_s), self._sweep)),
        ]

    async def close(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat(self) -> None:
        await self._database.run(partial(executors.beat, executor=self._executor))
        before, self._beat_at = self._beat_at, time.monotonic()
        if self._beat_at - before > _GAP_S:
            # The database was not available, or this process was suspended. After a database outage every process looks
            # dead, and taking over the jobs of living ones would make them twice.
            self._judges_from = self._beat_at + SILENT_S
        self.waiting, self._oldest_s = await self._database.run(records.waiting)

    async def _revive(self) -> None:
        """Enqueue the jobs of dead executors again."""
        present = time.monotonic()
        if present < self._judges_from or present - self._beat_at > _GAP_S:
            return
        silent = await self._database.run(partial(executors.claim_dead, silent_s=SILENT_S))
        silent = [executor for executor in silent if executor != self._executor]
        if silent:
            await self._workflows.revive(silent)
            await self._database.run(partial(executors.leave, executors=silent))

    async def _adopt(self) -> None:
        """Start jobs without a workflow: a process died between writing the record and starting the workflow."""
        found = await self._database.run(partial(executors.orphans, asking=self._executor, idle_s=_ORPHAN_S))
        for id in await self._workflows.abandoned([id for id in found if not self._work.has(id)]):
            log.warning("job started again", generation=id)
            await self._workflows.begin_again(id)

    async def _expire(self) -> None:
        for id in await self._database.run(records.late):
            await self._work.end(id, Status.FAILED, error=error_row(too_late()))

    async def _sweep(self) -> None:
        # The record is deleted last: until then, what depends on it can still be found.
        while old := await self._database.run(partial(records.old, older_than_s=self._retention_s)):
            await self._workflows.forget(list(old))
            await self._assets.remove([name for names in old.values() for name in names])
            await self._database.run(partial(records.remove, ids=old))
