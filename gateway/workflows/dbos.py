"""Workflows in DBOS: queues in the database, and workflows that another process finishes.

DBOS is one per process. The outcome of each step is kept, so that an attempt which is taken up again does not make what
was made. Steps run in DBOS's threads and do their work on the gateway's event loop, where the channels to the services
live.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID, WorkflowStatus
from dbos._serialization import DBOSPortableJSONSerializer
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from gateway.database.connection import engine_url, why_not
from gateway.workflows.port import (
    MOST,
    MOST_A_HOST,
    PATIENCE,
    Deliver,
    Outcome,
    Work,
    deliver_nothing,
    new_executor,
)
from mesh.settings import SettingsError
from mesh.telemetry import log

QUEUE = "generations"
WEBHOOKS = "webhooks"
POLL_S = 0.25
"""Between two looks at the queue: DBOS has no way to wake them."""
_LEAVE_S = 5
"""Seconds in which stopped jobs write down how they were left."""
VERSION = "jobs-1"
"""Of the workflows' steps: processes take up what others of the same version began. Change it when steps change."""


@dataclass
class _Post:
    """Who does the work in this process, and where; ids of the workflows that are at it, one may be there twice."""

    work: Work
    deliver: Deliver
    loop: asyncio.AbstractEventLoop
    running: list[str] = field(default_factory=list)

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()


_posts: list[_Post] = []


@contextmanager
def _known() -> Iterator[None]:
    """Have it known that this process runs the workflow."""
    running, id = _posts[-1].running, str(DBOS.workflow_id)
    running.append(id)
    try:
        yield
    finally:
        running.remove(id)


_PATIENTLY: dict[str, Any] = {
    "retries_allowed": True,
    "max_attempts": PATIENCE.attempts,
    "interval_seconds": PATIENCE.pause_s,
    "backoff_rate": PATIENCE.factor,
}


@DBOS.step(name="make", **_PATIENTLY)
def _make(job_id: str) -> Outcome:
    outcome: Outcome = _posts[-1].do(_posts[-1].work.make(job_id))
    return outcome


@DBOS.step(name="settle", **_PATIENTLY)
def _settle(job_id: str, outcome: Outcome) -> None:
    _posts[-1].do(_posts[-1].work.settle(job_id, outcome))


@DBOS.workflow(name="generate")
def _generate(job_id: str) -> None:
    with _known():
        _settle(job_id, _make(job_id))


@DBOS.step(name="attempt", **_PATIENTLY)
def _attempt(delivery_id: str, number: int) -> None:
    _posts[-1].do(_posts[-1].deliver(delivery_id, number))


@DBOS.workflow(name="deliver")
def _deliver(delivery_id: str, number: int) -> None:
    with _known():
        _attempt(delivery_id, number)


class DurableWorkflows:
    """The Workflows of DBOS over one database.

    Args:
        url: of the gateway's database. PostgreSQL holds DBOS's tables in a schema of their own; beside an SQLite file
            stands a second one, because two libraries with two ideas of transactions should not share one.
        concurrency: jobs of the queue that this process runs at once.
        poll_s: seconds between two looks at the queue.

    Attributes:
        executor: see Workflows.
    """

    def __init__(self, url: str, concurrency: int, poll_s: float = POLL_S) -> None:
        self.executor = new_executor()
        self._url = _workflows_url(url)
        self._concurrency = concurrency
        self._poll_s = poll_s
        self._threads = 4 * concurrency + MOST + 16
        self._astray: set[str] = set()

    async def open(self, work: Work, deliver: Deliver = deliver_nothing) -> None:
        """See Workflows."""
        _posts.append(_Post(work, deliver, asyncio.get_running_loop()))
        try:
            await asyncio.to_thread(self._launch)
        except (sqlite3.Error, SQLAlchemyError) as error:
            await self.close()
            beside = "beside that of CN_GATEWAY_DATABASE_URL, whose name ends in -workflows,"
            which = beside if self._url.startswith("sqlite") else "of CN_GATEWAY_DATABASE_URL"
            raise SettingsError(f"the database {which} {why_not(error)}") from error

    async def close(self) -> None:
        """See Workflows."""
        await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=_LEAVE_S)
        _posts.clear()

    async def start(self, workflow_id: str, job_id: str) -> None:
        """See Workflows."""
        await asyncio.to_thread(_under, workflow_id, lambda: DBOS.start_workflow(_generate, job_id))

    async def enqueue(self, workflow_id: str, job_id: str, priority: int) -> None:
        """See Workflows."""

        def put() -> None:
            with SetEnqueueOptions(priority=priority):
                DBOS.enqueue_workflow(QUEUE, _generate, job_id)

        await asyncio.to_thread(_under, workflow_id, put)

    async def put(self, id: str, number: int, host: str, delay_s: float, again: str = "") -> None:
        """See DeliveryQueue."""

        def put() -> None:
            delay = delay_s if delay_s > 0 else None
            with SetEnqueueOptions(queue_partition_key=host, delay_seconds=delay):
                DBOS.enqueue_workflow(WEBHOOKS, _deliver, id, number)

        # Not as a part of the workflow that this may be called from: it would be its child.
        await asyncio.to_thread(Context().run, _under, f"{id}-{number}-{again}".rstrip("-"), put)

    async def revive(self, executors: Sequence[str]) -> int:
        """See Workflows."""
        return await asyncio.to_thread(self._revive, list(executors))

    async def reclaim(self) -> None:
        """See Workflows.

        A database that goes away takes with it the answer that says what was taken from the queue, and ends workflows
        in a way that nobody can write down.
        """
        await asyncio.to_thread(self._reclaim)

    async def begin_again(self, job_id: str) -> None:
        """See Workflows."""

        def put() -> None:
            # Named by how many there were, so that two processes which do this at the same moment do it once.
            known = DBOS.list_workflows(workflow_id_prefix=[job_id], load_input=False, load_output=False)
            with SetWorkflowID(f"{job_id}-{len(known)}"), SetEnqueueOptions(priority=1):
                DBOS.enqueue_workflow(QUEUE, _generate, job_id)

        await asyncio.to_thread(put)

    async def abandoned(self, ids: Sequence[str]) -> list[str]:
        """See DeliveryQueue."""
        return await asyncio.to_thread(_abandoned, list(ids)) if ids else []

    async def forget(self, ids: Sequence[str]) -> None:
        """See DeliveryQueue."""
        if ids:
            await asyncio.to_thread(_forget, list(ids))

    def _launch(self) -> None:
        if self._url.startswith("sqlite"):
            _log_ahead(self._url)
        DBOS(
            config=DBOSConfig(
                name="controlmesh",
                system_database_url=self._url,
                application_version=VERSION,
                executor_id=self.executor,
                # The default writes pickles into the database, which run code when they are read.
                serializer=DBOSPortableJSONSerializer(),
                log_level="WARNING",
                enable_otlp=False,
                max_executor_threads=self._threads,
            )
        )
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=self._concurrency, polling_interval_sec=self._poll_s)
        DBOS.register_queue(
            WEBHOOKS,
            worker_concurrency=MOST,
            partition_worker_concurrency=MOST_A_HOST,
            polling_interval_sec=2 * self._poll_s,
        )

    def _revive(self, executors: list[str]) -> int:
        left = DBOS.list_workflows(executor_id=executors, status="PENDING", load_input=False, load_output=False)
        _resume(left)
        if left:
            log.info("jobs of a dead process taken up", jobs=len(left), executors=executors)
        return len(left)

    def _reclaim(self) -> None:
        had = DBOS.list_workflows(executor_id=self.executor, status="PENDING", load_input=False, load_output=False)
        running = list(_posts[-1].running)
        # Where all threads are busy, some may have been taken that wait for one.
        astray = {each.workflow_id for each in had} - set(running) if len(running) < self._threads else set()
        lost = [each for each in had if each.workflow_id in astray & self._astray]
        _resume(lost)
        self._astray = astray - {each.workflow_id for each in lost}
        if lost:
            log.warning("workflows that were lost sight of taken up", workflows=len(lost))


def _resume(workflows: Sequence[WorkflowStatus]) -> None:
    """Put them back into their queues."""
    for queue in (QUEUE, WEBHOOKS):
        ids = [workflow.workflow_id for workflow in workflows if (workflow.queue_name or QUEUE) == queue]
        if ids:
            DBOS.resume_workflows(ids, queue_name=queue)


def _under(workflow_id: str, begin: Callable[[], Any]) -> None:
    with SetWorkflowID(workflow_id):
        begin()


def _abandoned(ids: list[str]) -> list[str]:
    # Nearly always a job's one workflow has its very id, which is quickly looked up; prefixes are not.
    left = ids
    for by in ("workflow_ids", "workflow_id_prefix"):
        if left:
            which: dict[str, Any] = {by: left, "status": ["PENDING", "ENQUEUED", "DELAYED"]}
            known = DBOS.list_workflows(load_input=False, load_output=False, **which)
            cared_for = {workflow.workflow_id.partition("-")[0] for workflow in known}
            left = [id for id in left if id not in cared_for]
    return left


def _forget(ids: list[str]) -> None:
    known = DBOS.list_workflows(workflow_id_prefix=ids, load_input=False, load_output=False)
    DBOS.delete_workflows([workflow.workflow_id for workflow in known])


def _workflows_url(url: str) -> str:
    url = engine_url(url)
    return f"sqlite:///{make_url(url).database}-workflows" if url.startswith("sqlite") else url


def _log_ahead(url: str) -> None:
    # Kept in the file: readers and a writer no longer wait for each other.
    connection = sqlite3.connect(make_url(url).database or "")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
