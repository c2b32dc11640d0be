"""Jobs, orders and their limits, and the metrics of jobs."""

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
from mesh.errors import Conflict, DeadlineExceeded, MeshError, NotFound
from mesh.telemetry import log

SUBMITTED = Counter("cn_jobs_submitted_total", "Jobs accepted.", ["dialect"])
REFUSED = Counter("cn_jobs_refused_total", "Requests for jobs refused at a limit, by limit.", ["limit"])
FINISHED = Counter("cn_jobs_finished_total", "Jobs that ended, by status.", ["status"])
RUNNING = Gauge("cn_jobs_running", "Jobs running in this process.")
QUEUED = Gauge("cn_jobs_queued", "Jobs waiting, over all processes that share the records.")
OLDEST = Gauge("cn_jobs_oldest_seconds", "Seconds that the longest waiting job has waited; 0 if none waits.")

PRIORITIES = range(10)
"""Priorities of a job among its owner's; 9 goes first."""
DEFAULT_PRIORITY = 5

NUMBERS = range(100_000_000, 1_000_000_000)
"""Range of the jobs' integer ids."""

Conductor = Callable[[Generation, Progress, Task, str], Awaitable[Outcome]]
"""Runs a task for a generation; cancelling it stops the services."""


class Status(StrEnum):
    """State of a job; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True)
class StoredPicture:
    """A stored result: its asset's name, its seed, its size in pixels and in bytes, its SHA-256 in hex."""

    asset: str
    seed: int
    width: int
    height: int
    size: int = 0
    sha256: str = ""

    @classmethod
    def of(cls, asset: str, picture: Picture) -> "StoredPicture":
        """The record of `picture`, stored as `asset`."""
        digest = hashlib.sha256(picture.content).hexdigest()
        return cls(asset, picture.seed, picture.width, picture.height, len(picture.content), digest)


@dataclass(frozen=True)
class Order:
    """A job to be submitted.

    Attributes:
        generation: the request, resolved by the catalogue.
        owner: owner of the key of the request.
        dialect: the request's dialect, which will render the answer.
        echo: JSON that the dialect needs for rendering.
        id: id of the job, 32 hex digits, derived from an idempotency key; "" for a random one.
        fingerprint: of the request behind `id`, in hex; another request with the same `id` is refused.
        at_once: whether a caller waits: the job bypasses the queue, and an unavailable mesh is not retried.
        priority: 0 to 9, among the owner's own jobs.
        deadline_s: deadline in seconds from now; None: the deployment's.
        webhook: URL notified of the end; None for none.
        most_waiting: maximum of the owner's waiting jobs; None: only the deployment's limits apply.
        is_sole: whether the deployment asks for no keys, so that no other owner needs waiting places.
        task: what to make of the generation.

    Raises:
        InvalidInput: the task is not possible with this generation.
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
    is_sole: bool = False
    task: Task = Task.PICTURES

    def __post_init__(self) -> None:
        check_task(self.task, self.generation)


@dataclass(frozen=True)
class Job:
    """A snapshot of a job's record.

    Attributes:
        id: 128 random bits in hex.
        owner: owner of the key of the request.
        generation: the request, resolved by the catalogue; without the pictures' bytes once finished.
        assets: names that the finished pictures will have, chosen at the start.
        number: a second id, an integer of nine digits, for dialects whose ids are integers; not a secret.
        dialect, echo, priority, webhook, task: as in its Order.
        attempts: how many times it was started.
        step, steps: model calls done and in total, over all pictures.
        preview: the latest preview, while it runs in this process.
        prompt, negative_prompt: the text that was encoded, after enhancement; None until it has succeeded.
        error: the reason for its failure.
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
        """Whether its state is final."""
        return self.status in FINAL


@dataclass(frozen=True)
class Page:
    """A page of an owner's jobs, newest first, and the cursor of the next page; None on the last one."""

    jobs: tuple[Job, ...]
    next: str | None = None


@dataclass(frozen=True)
class Filter:
    """Which jobs to list: by status (empty: all), dialect (empty: all) and time of creation."""

    statuses: tuple[Status, ...] = ()
    dialects: tuple[str, ...] = ()
    created_after: datetime | None = None


def too_late() -> DeadlineExceeded:
    """The error of a job whose deadline passed."""
    return DeadlineExceeded("the deadline passed before the generation was done; allow more time")


Outbox = Callable[[Connection, Job], None]
"""Called in the transaction that accepts or ends a job, to write its deliveries and other consequences; the job's
status tells which of the two it is."""


def check_same(order: Order, owner: str, fingerprint: str | None) -> None:
    """Check that `order` is the same request as the existing one with its id. Conflict if not."""
    if (owner, fingerprint) != (order.owner, order.fingerprint):
        raise Conflict("this idempotency key was used for another request; use a new one", field=HEADER)


def is_own(id: str, holder: str, owner: str) -> bool:
    """Whether the job `id` of `holder` belongs to `owner`, who requested it.

    If not, that is only logged: the answer is the same as for an unknown job, but operators should see who probes ids.
    """
    if holder != owner:
        log.warning("another owner's job was requested", generation=id, owner=owner)
    return holder == owner


def unknown() -> NotFound:
    """The error for an unknown job."""
    return NotFound("unknown generation, or it has expired")
