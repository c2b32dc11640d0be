"""Engines of jobs for tests: of one process, durable on SQLite and on PostgreSQL; and a conductor for them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from obstore.store import LocalStore

from gateway.database.connection import Database, open_database
from gateway.files.assets import Assets
from gateway.generation.generation import Generation, Task
from gateway.generation.pipeline import Outcome, Picture, Progress
from gateway.jobs.engine import JobEngine
from gateway.jobs.limits import Bounds, Timing
from gateway.workflows.dbos import DurableWorkflows
from gateway.workflows.port import Deliver, Workflows, deliver_nothing
from gateway.workflows.tasks import TaskWorkflows

ENGINES = ("process", "sqlite", "postgresql")
DURABLE = ENGINES[1:]
BOUNDS = Bounds(max_pictures=4, max_waiting=4, retention_s=60.0, everybody="me")
PICTURE = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00\x0c"
    b"IDATx\x9cc```\x00\x00\x00\x04\x00\x01\xf6\x178U\x00\x00\x00\x00IEND\xaeB`\x82"
)


@dataclass
class Conductor:
    """Makes pictures when it is let; a prompt that begins with "stuck" is never done. Remembers what it was asked, and
    how many pictures it made at once at most."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    seen: list[Generation] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    pictures: int = 0
    most: int = 0

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something that it remembers."""
        async with asyncio.timeout(30):
            while not happened():
                self.news.clear()
                await self.news.wait()

    async def __call__(
        self, generation: Generation, progress: Progress, task: Task = Task.PICTURES, owner: str = ""
    ) -> Outcome:
        self.begun.append(generation.prompt)
        self.seen.append(generation)
        self.tasks.append(task)
        self.pictures += generation.samples
        self.most = max(self.most, self.pictures)
        self.news.set()
        try:
            progress(1, generation.planned_steps, None)
            await (asyncio.Event() if generation.prompt.startswith("stuck") else self.go).wait()
            if self.failures:
                raise self.failures.pop(0)
            pictures = tuple(Picture(PICTURE, seed, 1, 1) for seed in generation.seeds())
            return Outcome(pictures, ("a remark",), f"{generation.prompt}, fine", "fog")
        except asyncio.CancelledError:
            self.cancelled.append(generation.prompt)
            self.news.set()
            raise
        finally:
            self.pictures -= generation.samples


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what nobody tells of, such as the next look of an engine at its records."""
    async with asyncio.timeout(30):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.05)


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """A fresh database of that kind."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/records.db"
        return
    from tests.rigs.postgres import postgres

    with postgres() as server:
        yield server.new_database()


def workflows_of(kind: str, url: str, concurrency: int = 4, poll_s: float = 0.1) -> Workflows:
    """What keeps jobs going in an engine of that kind."""
    return TaskWorkflows(concurrency) if kind == "process" else DurableWorkflows(url, concurrency, poll_s)


@asynccontextmanager
async def engine(
    database: Database,
    workflows: Workflows,
    folder: Path,
    conduct: Any,
    deliver: Deliver = deliver_nothing,
    **told: Any,
) -> AsyncIterator[JobEngine]:
    """An engine at work. `told`: fields of Bounds and of Timing, `outbox` and `notify`."""
    bounds, timing = ({name: told.pop(name) for name in asdict(one) if name in told} for one in (BOUNDS, Timing()))
    jobs = JobEngine(
        database,
        workflows,
        conduct,
        Assets(LocalStore(str(folder)), 60, database),
        replace(BOUNDS, **bounds),
        timing=Timing(**timing),
        **told,
    )
    await jobs.open(deliver)
    try:
        yield jobs
    finally:
        await jobs.close()


@asynccontextmanager
async def running(kind: str, url: str, folder: Path, conduct: Any, **told: Any) -> AsyncIterator[JobEngine]:
    """An engine of that kind at work; see `engine`."""
    with open_database("" if kind == "process" else url) as database:
        workflows = workflows_of(kind, url, told.get("max_pictures", BOUNDS.max_pictures))
        async with engine(database, workflows, folder, conduct, **told) as jobs:
            yield jobs
