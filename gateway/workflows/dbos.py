"""Durable workflows in DBOS: queues in the database, and workflows that another process can finish.

DBOS is a singleton in each process. The outcome of each step is stored, so a resumed workflow does not repeat finished
steps. Steps run in DBOS's threads and do their work on the gateway's event loop, which the channels to the services
belong to.
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

from gateway.database.connection import engine_url, private_database, why_not
from gateway.workflows.port import (
    MOST,
    MOST_AN_OWNER,
    OWNERS_AT_ONCE,
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
"""Jobs that were running in a process that died, and those that older versions enqueued."""
BY_OWNER = "generations-by-owner"
WEBHOOKS = "webhooks"
POLL_S = 0.25
"""Polling interval of the queues in seconds: DBOS has no way to wake its pollers."""
_LEAVE_S = 5
"""Seconds for stopped jobs to write their state at shutdown."""
VERSION = "jobs-1"
"""Version of the workflows' steps: a process resumes workflows only of its own version. Change it when steps change."""


@dataclass
class _Post:
    """What does the work in this process, its event loop, and the ids of running workflows, which may repeat."""

    work: Work
    deliver: Deliver
    loop: asyncio.AbstractEventLoop
    running: list[str] = field(default_factory=list)

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()


_posts: list[_Post] = []


@contextmanager
def _registered() -> Iterator[None]:
    """Register the workflow as running here."""
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
    with _registered():
        _settle(job_id, _make(job_id))


@DBOS.step(name="attempt", **_PATIENTLY)
def _attempt(delivery_id: str, number: int) -> None:
    _posts[-1].do(_posts[-1].deliver(delivery_id, number))


@DBOS.workflow(name="deliver")
def _deliver(delivery_id: str, number: int) -> None:
    with _registered():
        _attempt(delivery_id, number)


class DurableWorkflows:
    """Workflows in DBOS, over one database.

    Args:
        url: of the gateway's database. On PostgreSQL, DBOS's tables are in a schema of their own; on SQLite, in a
            second file beside it, as two libraries with different transaction handling should not share one.
        concurrency: queued jobs of one owner that this process runs at once.
        poll_s: polling interval of the job queue in seconds.

    Attributes:
        executor: see Workflows.
    """

    def __init__(self, url: str, concurrency: int, poll_s: float = POLL_S) -> None:
        self.executor = new_executor()
        self._url = _workflows_url(url)
        self._concurrency = concurrency
        self._poll_s = poll_s
        self._threads = (OWNERS_AT_ONCE + 4) * concurrency + MOST + 16
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

    async def enqueue(self, workflow_id: str, job_id: str, owner: str, priority: int) -> None:
        """See Workflows."""

        def put() -> None:
            with SetEnqueueOptions(priority=priority, queue_partition_key=owner):
                DBOS.enqueue_workflow(BY_OWNER, _generate, job_id)

        await asyncio.to_thread(_under, workflow_id, put)

    async def put(self, id: str, number: int, owner: str, delay_s: float, again: str = "") -> None:
        """See DeliveryQueue."""

        def put() -> None:
            delay = delay_s if delay_s > 0 else None
            with SetEnqueueOptions(queue_partition_key=owner, delay_seconds=delay):
                DBOS.enqueue_workflow(WEBHOOKS, _deliver, id, number)

        # In a fresh context: called from within a workflow, it would become that workflow's child.
        await asyncio.to_thread(Context().run, _under, f"{id}-{number}-{again}".rstrip("-"), put)

    async def revive(self, executors: Sequence[str]) -> int:
        """See Workflows."""
        return await asyncio.to_thread(self._revive, list(executors))

    async def reclaim(self) -> None:
        """See Workflows.

        When the connection breaks, the answer that says which workflows were dequeued can be lost, and workflows can
        end without their end being recorded.
        """
        await asyncio.to_thread(self._reclaim)

    async def begin_again(self, job_id: str) -> None:
        """See Workflows."""

        def put() -> None:
            # The id counts the workflows so far, so that two processes that do this at the same moment enqueue it once.
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
                # The default stores pickles in the database, which can run code when they are loaded.
                serializer=DBOSPortableJSONSerializer(),
                log_level="WARNING",
                enable_otlp=False,
                max_executor_threads=self._threads,
            )
        )
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=self._concurrency, polling_interval_sec=self._poll_s)
        DBOS.register_queue(
            BY_OWNER,
            worker_concurrency=OWNERS_AT_ONCE * self._concurrency,
            partition_worker_concurrency=self._concurrency,
            polling_interval_sec=self._poll_s,
        )
        DBOS.register_queue(
            WEBHOOKS,
            worker_concurrency=MOST,
            partition_worker_concurrency=MOST_AN_OWNER,
            polling_interval_sec=2 * self._poll_s,
        )

    def _revive(self, executors: list[str]) -> int:
        left = DBOS.list_workflows(executor_id=executors, status="PENDING", load_input=False, load_output=False)
        _resume(left)
        if left:
            log.info("jobs of dead processes taken over", jobs=len(left), executors=executors)
        return len(left)

    def _reclaim(self) -> None:
        had = DBOS.list_workflows(executor_id=self.executor, status="PENDING", load_input=False, load_output=False)
        running = list(_posts[-1].running)
        # While all threads are busy, dequeued workflows may be waiting for a thread.
        astray = {each.workflow_id for each in had} - set(running) if len(running) < self._threads else set()
        lost = [each for each in had if each.workflow_id in astray & self._astray]
        _resume(lost)
        self._astray = astray - {each.workflow_id for each in lost}
        if lost:
            log.warning("lost workflows enqueued again", workflows=len(lost))


def _resume(workflows: Sequence[WorkflowStatus]) -> None:
    """Put them back into their queues."""
    for queue in (QUEUE, BY_OWNER, WEBHOOKS):
        ids = [workflow.workflow_id for workflow in workflows if (workflow.queue_name or QUEUE) == queue]
        if ids:
            DBOS.resume_workflows(ids, queue_name=queue)


def _under(workflow_id: str, begin: Callable[[], Any]) -> None:
    with SetWorkflowID(workflow_id):
        begin()


def _abandoned(ids: list[str]) -> list[str]:
    # A job's only workflow nearly always has the job's id, and looking up ids is fast; looking up prefixes is not.
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
    # A lasting property of the file: readers and the writer no longer block each other.
    private_database(url)
    connection = sqlite3.connect(make_url(url).database or "")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
