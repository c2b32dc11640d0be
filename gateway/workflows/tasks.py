"""Workflows as asyncio tasks: they end with this process, for records that do too."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import Context
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from gateway.workflows.port import (
    MOST,
    MOST_AN_OWNER,
    OWNERS_AT_ONCE,
    PATIENCE,
    Deliver,
    Patience,
    Work,
    deliver_nothing,
    new_executor,
)
from mesh.telemetry import log

Result = TypeVar("Result")


class TaskWorkflows:
    """Workflows as tasks of this process, which end with it.

    Args:
        concurrency: queued jobs of one owner that run at once.
        sleep: waits for a number of seconds.
        patience: how steps that raise are retried.

    Attributes:
        executor: see Workflows.
    """

    def __init__(
        self,
        concurrency: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience: Patience = PATIENCE,
    ) -> None:
        self.executor = new_executor()
        self._concurrency = concurrency
        self._most = OWNERS_AT_ONCE * concurrency
        self._sleep = sleep
        self._patience = patience
        self._work: Work | None = None
        self._deliver: Deliver = deliver_nothing
        # By owner, in the order of their last jobs: priority, sequence number, id of the workflow, id of the job.
        self._queues: dict[str, list[tuple[int, int, str, str]]] = {}
        self._running: Counter[str] = Counter()
        self._numbers = count()
        self._known: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._places = asyncio.Semaphore(MOST)
        self._of_owner: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def open(self, work: Work, deliver: Deliver = deliver_nothing) -> None:
        """See Workflows."""
        self._work, self._deliver = work, deliver
        self._dequeue()

    async def close(self) -> None:
        """Stop; unfinished work is lost together with this process's records."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def start(self, workflow_id: str, job_id: str) -> None:
        """See Workflows."""
        if self._is_new(workflow_id):
            self._spawn(self._generate(workflow_id, job_id))

    async def enqueue(self, workflow_id: str, job_id: str, owner: str, priority: int) -> None:
        """See Workflows."""
        if self._is_new(workflow_id):
            heappush(self._queues.setdefault(owner, []), (priority, next(self._numbers), workflow_id, job_id))
            self._dequeue()

    async def put(self, id: str, number: int, owner: str, delay_s: float, again: str = "") -> None:
        """See DeliveryQueue."""
        workflow_id = f"{id}-{number}-{again}".rstrip("-")
        if self._is_new(workflow_id):
            self._spawn(self._attempt(workflow_id, id, number, owner, delay_s))

    async def begin_again(self, job_id: str) -> None:
        """See Workflows."""
        await self.enqueue(job_id, job_id, "", priority=1)

    async def abandoned(self, ids: Sequence[str]) -> list[str]:
        """See DeliveryQueue."""
        known = {workflow_id.partition("-")[0] for workflow_id in self._known}
        return [id for id in ids if id not in known]

    async def forget(self, ids: Sequence[str]) -> None:
        """See DeliveryQueue; ended workflows leave no records here."""

    async def revive(self, executors: Sequence[str]) -> int:
        """See Workflows; other processes' workflows are not visible here, so there are none."""
        return 0

    async def reclaim(self) -> None:
        """See Workflows; a process can't lose its own tasks."""

    def _is_new(self, workflow_id: str) -> bool:
        if self._closed or workflow_id in self._known:
            return False
        self._known.add(workflow_id)
        return True

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # In a fresh context, not the request's: jobs carry their own request id and trace.
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _dequeue(self) -> None:
        """Run queued jobs as far as the limits allow, of each owner in turn."""
        if self._work is None or self._closed:
            return
        for owner in [*self._queues]:
            queue = self._queues[owner]
            while queue and self._running[owner] < self._concurrency and self._running.total() < self._most:
                _, _, workflow_id, job_id = heappop(queue)
                self._running[owner] += 1
                self._spawn(self._generate(workflow_id, job_id)).add_done_callback(partial(self._done, owner))
            if not queue:
                del self._queues[owner]

    def _done(self, owner: str, task: asyncio.Task[None]) -> None:
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
        self._dequeue()

    async def _generate(self, workflow_id: str, job_id: str) -> None:
        work = self._work
        assert work is not None, "open comes first"
        try:
            outcome = await self._patiently(lambda: work.make(job_id))
            await self._patiently(lambda: work.settle(job_id, outcome))
        except Exception as error:
            # Upkeep will find it as an abandoned job.
            log.error("job given up for now", generation=job_id, reason=type(error).__name__)
        finally:
            self._known.discard(workflow_id)

    async def _attempt(self, workflow_id: str, id: str, number: int, owner: str, delay_s: float) -> None:
        try:
            await self._sleep(delay_s)
            of_owner = self._of_owner.get(owner)
            if of_owner is None:
                of_owner = self._of_owner[owner] = asyncio.Semaphore(MOST_AN_OWNER)
            async with of_owner, self._places:
                await self._patiently(lambda: self._deliver(id, number))
        except Exception as error:
            # It is found when it is overdue.
            log.error("delivery not attempted", delivery=id, reason=type(error).__name__)
        finally:
            self._known.discard(workflow_id)

    async def _patiently(self, step: Callable[[], Awaitable[Result]]) -> Result:
        pause_s = self._patience.pause_s
        for _ in range(self._patience.attempts - 1):
            try:
                return await step()
            except Exception as error:
                log.warning("step retried", reason=type(error).__name__, pause_s=pause_s)
            await self._sleep(pause_s)
            pause_s *= self._patience.factor
        return await step()
