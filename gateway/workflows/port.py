"""Who tries deliveries in time: the port, and tasks of this process where no engine of jobs outlives it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

from mesh.telemetry import log

MOST = 32
"""Attempts at once, of one process."""
MOST_A_HOST = 4
"""Of these, to one host: a slow one does not keep the others waiting, and nobody is flooded through us."""

Deliver = Callable[[str, int], Coroutine[Any, Any, None]]
"""Tries a delivery, by its id, after so many attempts; puts it down again for the next one."""

Notify = Callable[[str], Awaitable[None]]
"""Told the id of a job when it stands in the records that it was taken or has ended, and with it what is to be
delivered. Never raises."""


async def notify_nobody(job_id: str) -> None:
    """A Notify that tells nobody."""


class DeliveryQueue(Protocol):
    """Has deliveries tried."""

    async def put(self, id: str, number: int, host: str, delay_s: float, again: str = "") -> None:
        """Have a delivery to `host` tried in `delay_s` seconds, after `number` attempts.

        The same twice is once, unless `again` tells them apart.
        """

    async def abandoned(self, ids: Sequence[str]) -> list[str]:
        """Which of these deliveries nobody will try."""

    async def forget(self, ids: Sequence[str]) -> None:
        """Remove what is kept of these deliveries."""


class Tasks:
    """The DeliveryQueue whose deliveries end with this process.

    Args:
        attempt: see Deliver.
        sleep: waits for so many seconds.
    """

    def __init__(self, attempt: Deliver, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._attempt = attempt
        self._sleep = sleep
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._closed = False
        self._places = asyncio.Semaphore(MOST)
        self._of_host: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def put(self, id: str, number: int, host: str, delay_s: float, again: str = "") -> None:
        if (id, number) not in self._tasks and not self._closed:
            task = self._tasks[id, number] = asyncio.create_task(self._through(id, number, host, delay_s))
            task.add_done_callback(lambda done: self._tasks.pop((id, number), None))

    async def abandoned(self, ids: Sequence[str]) -> list[str]:
        known = {id for id, _ in self._tasks}
        return [id for id in ids if id not in known]

    async def forget(self, ids: Sequence[str]) -> None:
        pass

    async def close(self) -> None:
        """End; what was not delivered is lost with the process's other records."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _through(self, id: str, number: int, host: str, delay_s: float) -> None:
        await self._sleep(delay_s)
        of_host = self._of_host.get(host)
        if of_host is None:
            of_host = self._of_host[host] = asyncio.Semaphore(MOST_A_HOST)
        try:
            async with of_host, self._places:
                await self._attempt(id, number)
        except Exception as error:
            # Found again when it is overdue.
            log.error("delivery not tried", delivery=id, reason=type(error).__name__)
