"""The workflow port: runs jobs and attempts deliveries. `dbos` and `tasks` implement it.

A workflow runs a job once (`make` the pictures, then `settle` the record) or attempts a delivery once. Its id begins
with the id of its job or delivery. Enqueuing the same id twice gives one workflow.
"""

import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MOST = 64
"""Maximum number of concurrent delivery attempts in one process."""
MOST_AN_OWNER = 8
"""Of these, of one owner: slow receivers of one do not block others' deliveries."""

OWNERS_AT_ONCE = 4
"""So many owners can have all the queued jobs that one may have dequeued in a process: one owner's flood must not keep
others' jobs from where it is decided whose turn it is."""

Outcome = dict[str, Any]
"""What `make` passes to `settle`, as JSON."""

Deliver = Callable[[str, int], Coroutine[Any, Any, None]]
"""Attempts a delivery, given its id and the number of attempts so far; enqueues the next attempt."""

Notify = Callable[[str], Awaitable[None]]
"""Called with a job's id after the transaction that recorded its acceptance or its end, and its deliveries, was
committed. Never raises."""


async def notify_nobody(job_id: str) -> None:
    """A Notify that does nothing."""


async def deliver_nothing(id: str, number: int) -> None:
    """A Deliver that does nothing."""


def new_executor() -> str:
    """A name for this process, unique among all processes at any time."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Patience:
    """How a step that raises is retried. A failure that a request can cause is an outcome, so a step raises only when
    the database is not available for a while.

    Attributes:
        attempts: maximum number of attempts.
        pause_s: seconds before the second attempt.
        factor: each pause is this many times as long as the one before.
    """

    attempts: int = 12
    pause_s: float = 0.5
    factor: float = 1.5


PATIENCE = Patience()


class Work(Protocol):
    """The steps of a job."""

    async def make(self, job_id: str) -> Outcome:
        """Make the pictures and return the outcome as JSON. A failure that a request can cause is an outcome."""

    async def settle(self, job_id: str, outcome: Outcome) -> None:
        """Write the final record and the deliveries about it."""


class DeliveryQueue(Protocol):
    """The queue of delivery attempts."""

    async def put(self, id: str, number: int, owner: str, delay_s: float, again: str = "") -> None:
        """Enqueue the attempt of a delivery of `owner`, in `delay_s` seconds, after `number` attempts.

        Enqueuing the same `id` and `number` twice gives one attempt, unless `again` differs.
        """

    async def abandoned(self, ids: Sequence[str]) -> list[str]:
        """Those of these jobs or deliveries that have no running or pending workflow."""

    async def forget(self, ids: Sequence[str]) -> None:
        """Delete the workflows' records of these jobs or deliveries."""


class Workflows(DeliveryQueue, Protocol):
    """Runs jobs and delivery attempts.

    An owner's queued jobs are dequeued by priority, lower numbers first starting with 1, and within a priority in the
    order in which they were enqueued; each process limits how many of one owner it runs at once, and how many in all,
    at OWNERS_AT_ONCE times as many. Steps that raise are retried; see Patience.
    """

    @property
    def executor(self) -> str:
        """Unique name of this process."""

    async def open(self, work: Work, deliver: Deliver = deliver_nothing) -> None:
        """Start to dequeue jobs and deliveries, and run them on the running event loop.

        Raises:
            SettingsError: the database of the workflows can't be opened.
        """

    async def close(self) -> None:
        """Stop."""

    async def start(self, workflow_id: str, job_id: str) -> None:
        """Run a job in this process immediately."""

    async def enqueue(self, workflow_id: str, job_id: str, owner: str, priority: int) -> None:
        """Enqueue a job of `owner`."""

    async def begin_again(self, job_id: str) -> None:
        """Enqueue a job whose workflows have all ended, ahead of all others."""

    async def revive(self, executors: Sequence[str]) -> int:
        """Enqueue again what dead executors were running; returns the number of workflows."""

    async def reclaim(self) -> None:
        """Enqueue again workflows that are assigned to this process but not running, now and at the previous call."""
