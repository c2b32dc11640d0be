"""Workflows: the port through which jobs are run and deliveries are attempted, whoever keeps them going.

A workflow is an attempt at a job (`make` the pictures, then `settle` the record) or at a delivery. Its id begins with
the id of its job or delivery; the same id twice is one workflow.
"""

import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

MOST = 32
"""Attempts at deliveries at once, of one process."""
MOST_A_HOST = 4
"""Of these, to one host: a slow one does not keep the others waiting, and nobody is flooded through us."""

Outcome = dict[str, Any]
"""What `make` hands to `settle`, as JSON."""

Deliver = Callable[[str, int], Coroutine[Any, Any, None]]
"""Attempts a delivery, by its id, after so many attempts; enqueues the next one."""

Notify = Callable[[str], Awaitable[None]]
"""Told the id of a job when it stands in the records that it was taken or has ended, and with it what is to be
delivered. Never raises."""


async def notify_nobody(job_id: str) -> None:
    """A Notify that tells nobody."""


async def deliver_nothing(id: str, number: int) -> None:
    """A Deliver that delivers nothing."""


def new_executor() -> str:
    """A name for this process that no other one has or had."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Patience:
    """How often a step is tried that raises: what a request can cause is an outcome, so what is raised is a database
    that is away for a while.

    Attributes:
        attempts: the most there are.
        pause_s: seconds before the second one.
        factor: by which each pause is longer than the one before.
    """

    attempts: int = 12
    pause_s: float = 0.5
    factor: float = 1.5


PATIENCE = Patience()


class Work(Protocol):
    """The steps of a job."""

    async def make(self, job_id: str) -> Outcome:
        """Make the pictures; the outcome as JSON. Never raises for what a request can cause."""

    async def settle(self, job_id: str, outcome: Outcome) -> None:
        """Write the final record, and what follows from it."""


class DeliveryQueue(Protocol):
    """Has deliveries attempted."""

    async def put(self, id: str, number: int, host: str, delay_s: float, again: str = "") -> None:
        """Have a delivery to `host` attempted in `delay_s` seconds, after `number` attempts.

        The same twice is once, unless `again` tells them apart.
        """

    async def abandoned(self, ids: Sequence[str]) -> list[str]:
        """Which of these jobs or deliveries nobody works at or will work at."""

    async def forget(self, ids: Sequence[str]) -> None:
        """Remove what is kept of the workflows of these jobs or deliveries."""


class Workflows(DeliveryQueue, Protocol):
    """Keeps jobs and deliveries going.

    Jobs of the queue are taken by priority, lower numbers first and 1 first of all, and within one priority in the
    order of asking; a process runs no more of them at once than it was opened for. Steps that raise are tried again,
    see Patience.
    """

    @property
    def executor(self) -> str:
        """Name of this process, which no other one has or had."""

    async def open(self, work: Work, deliver: Deliver = deliver_nothing) -> None:
        """Begin to take jobs and deliveries; both are worked at on the running event loop.

        Raises:
            SettingsError: the database of the workflows can't be opened.
        """

    async def close(self) -> None:
        """Take no more."""

    async def start(self, workflow_id: str, job_id: str) -> None:
        """Begin a job in this process, at once."""

    async def enqueue(self, workflow_id: str, job_id: str, priority: int) -> None:
        """Put a job into the queue."""

    async def begin_again(self, job_id: str) -> None:
        """Put a job into the queue whose workflows are all over, before all others."""

    async def revive(self, executors: Sequence[str]) -> int:
        """Put what dead executors were at back into the queue; says how many."""

    async def reclaim(self) -> None:
        """Put back into the queue what this process has and does not run, if it was so at the last look, too."""
