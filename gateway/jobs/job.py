"""What a job is, what may be asked of one, and what is counted."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from prometheus_client import Counter, Gauge
from sqlalchemy import Connection

from gateway.generation.generation import Generation, Task, check_task
from gateway.generation.pipeline import Outcome, Picture, Preview, Progress
from gateway.jobs.idempotency import HEADER
from mesh.errors import Conflict, DeadlineExceeded, MeshError, NotFound, Overloaded
from mesh.telemetry import log

SUBMITTED = Counter("cn_jobs_submitted_total", "Jobs accepted.", ["dialect"])
FINISHED = Counter("cn_jobs_finished_total", "Jobs that ended, by status.", ["status"])
RUNNING = Gauge("cn_jobs_running", "Jobs being made in this process.")
QUEUED = Gauge("cn_jobs_queued", "Jobs waiting for their turn, over all processes that share the records.")
OLDEST = Gauge("cn_jobs_oldest_seconds", "How long the first of them has been waiting; 0 where none waits.")

PRIORITIES = range(10)
"""Of a job among its owner's: 9 first."""
DEFAULT_PRIORITY = 5

NUMBERS = range(100_000_000, 1_000_000_000)
"""Integer ids of jobs."""

Conductor = Callable[[Generation, Progress, Task], Awaitable[Outcome]]
"""Does a task with a generation; cancelling it stops the services."""


class Status(StrEnum):
    """Where a job is; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True)
class StoredPicture:
    """A finished picture: its name among the assets, its seed, its size in pixels and bytes, its digest in hex."""

    asset: str
    seed: int
    width: int
    height: int
    size: int = 0
    sha256: str = ""

    @classmethod
    def of(cls, asset: str, picture: Picture) -> "StoredPicture":
        """`picture`, stored under the name `asset`."""
        digest = hashlib.sha256(picture.content).hexdigest()
        return cls(asset, picture.seed, picture.width, picture.height, len(picture.content), digest)


@dataclass(frozen=True)
class Order:
    """What is submitted.

    Attributes:
        generation: what to make, as the catalogue resolved it.
        owner: holder of the key that it was asked with.
        dialect: which dialect asked, and will be asked to phrase the answer.
        echo: JSON that the dialect needs again for that.
        id: 32 hex digits of the job to be, where the caller must find it again (idempotency); "" for a random one.
        fingerprint: of the request behind `id`, in hex; another one under the same `id` is refused.
        at_once: a caller waits: it passes the queue and is not tried again when the mesh is away.
        priority: among the owner's own jobs, 0 to 9.
        deadline_s: seconds from now after which it is of no use; None for the deployment's own.
        webhook: URL that is told of the end; None for none.
        most_waiting: jobs that the owner may have waiting; None for the deployment's own bound alone.
        task: what is wanted of the generation.

    Raises:
        InvalidInput: the task can't be done with this generation.
    """

    generation: Generation
    owner: str
    dialect: str = ""
    echo: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    fingerprint: str | None = None
    at_once: bool = False
    priority: int = DEFAULT_PRIORITY
    deadline_s: float | None = None
    webhook: str | None = None
    most_waiting: int | None = None
    task: Task = Task.PICTURES

    def __post_init__(self) -> None:
        check_task(self.task, self.generation)


@dataclass(frozen=True)
class Job:
    """A job's record at one moment.

    Attributes:
        id: 128 random bits in hex.
        owner: holder of the key that it was asked with.
        generation: what was asked, as the catalogue resolved it; without the pictures' bytes once finished.
        assets: names under which the pictures will lie, decided at the start.
        number: the same job as an integer of nine digits, for dialects whose ids are integers; no secret.
        dialect, echo, priority, webhook, task: as in its Order.
        attempts: how often it was begun.
        step, steps: model calls done and in all, over all pictures.
        preview: the last one, while it runs in this process.
        prompt, negative_prompt: the words that were encoded, after enhancement; None until it has succeeded.
        error: why it failed.
    """

    id: str
    owner: str
    generation: Generation
    assets: tuple[str, ...]
    number: int = 0
    dialect: str = ""
    echo: Mapping[str, Any] = field(default_factory=dict)
    priority: int = DEFAULT_PRIORITY
    webhook: str | None = None
    task: Task = Task.PICTURES
    attempts: int = 0
    status: Status = Status.QUEUED
    step: int = 0
    steps: int = 0
    preview: Preview | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    pictures: tuple[StoredPicture, ...] = ()
    notes: tuple[str, ...] = ()
    error: MeshError | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in FINAL


@dataclass(frozen=True)
class Page:
    """Some of an owner's jobs, the newest first, and the cursor to go on with; None at the end."""

    jobs: tuple[Job, ...]
    next: str | None = None


@dataclass(frozen=True)
class Filter:
    """Which jobs to list: those of these statuses (none: all) and dialects (none: all), begun within a time."""

    statuses: tuple[Status, ...] = ()
    dialects: tuple[str, ...] = ()
    created_after: datetime | None = None


def too_late() -> DeadlineExceeded:
    """Why a job ends whose deadline passed."""
    return DeadlineExceeded("the deadline passed before the generation was done; allow more time")


Outbox = Callable[[Connection, Job], None]
"""Writes what follows from a job's being taken, and from its end, in the transaction that does it; the job's status
says which of the two it is."""


def check_room(order: Order, waiting: int, own: int, most: int) -> None:
    """Whether another job may wait.

    Args:
        order: which would.
        waiting, own: how many wait already, of all owners and of its own.
        most: of all owners.

    Raises:
        Overloaded: too many do.
    """
    if waiting >= most:
        raise Overloaded(f"{waiting} generations are waiting already; try again later", retry_after_s=5)
    if order.most_waiting is not None and own >= order.most_waiting:
        raise Overloaded(f"{own} of your generations are waiting already; try again later", retry_after_s=5)


def check_same(order: Order, owner: str, fingerprint: str | None) -> None:
    """Whether `order` is the request that stands under its id already. Raises Conflict if it is another one."""
    if (owner, fingerprint) != (order.owner, order.fingerprint):
        raise Conflict("this idempotency key was used for another request; take a new one", field=HEADER)


def is_own(id: str, holder: str, owner: str) -> bool:
    """Whether the job `id` of `holder` is the asking `owner`'s.

    If it is not, only the log tells of it: who goes through ids is for the operator to see.
    """
    if holder != owner:
        log.warning("another owner's job was asked for", generation=id, owner=owner)
    return holder == owner


def unknown() -> NotFound:
    """What is said of a job that there is not."""
    return NotFound("there is no such generation, or it was kept long enough")
