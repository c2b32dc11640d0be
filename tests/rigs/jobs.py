"""Engines of jobs for tests: in memory, on SQLite, on PostgreSQL; and a conductor that does as the prompt says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from obstore.store import LocalStore

from gateway.database.connection import open_database
from gateway.files.assets import Assets
from gateway.generation.generation import Generation, Task
from gateway.generation.pipeline import Outcome, Picture, Progress
from gateway.jobs.engine import DurableJobs
from gateway.jobs.job import JobEngine
from gateway.jobs.memory_engine import MemoryJobs

ENGINES = ("memory", "sqlite", "postgresql")
PICTURE = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00\x0c"
    b"IDATx\x9cc```\x00\x00\x00\x04\x00\x01\xf6\x178U\x00\x00\x00\x00IEND\xaeB`\x82"
)


@dataclass
class Conductor:
    """Makes pictures when it is let; a prompt that begins with "stuck" is never done. Remembers what it was asked."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    seen: list[Generation] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something that it remembers."""
        async with asyncio.timeout(30):
            while not happened():
                self.news.clear()
                await self.news.wait()

    async def __call__(self, generation: Generation, progress: Progress, task: Task = Task.PICTURES) -> Outcome:
        self.begun.append(generation.prompt)
        self.seen.append(generation)
        self.news.set()
        try:
            progress(1, generation.steps, None)
            await (asyncio.Event() if generation.prompt.startswith("stuck") else self.go).wait()
            if self.failures:
                raise self.failures.pop(0)
            pictures = tuple(Picture(PICTURE, seed, 1, 1) for seed in generation.seeds())
            return Outcome(pictures, ("a remark",), f"{generation.prompt}, fine", "fog")
        except asyncio.CancelledError:
            self.cancelled.append(generation.prompt)
            self.news.set()
            raise


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


@asynccontextmanager
async def running(kind: str, url: str, folder: Path, conduct: Any, **limits: Any) -> AsyncIterator[JobEngine]:
    """An engine of that kind at work."""
    assets = Assets(LocalStore(str(folder)), 60)
    bounds: dict[str, Any] = {"max_pictures": 4, "max_waiting": 4, "retention_s": 60.0, **limits}
    if kind == "memory":
        jobs = MemoryJobs(conduct, assets, max_records=20, **bounds)
        try:
            yield jobs
        finally:
            await jobs.close()
        return
    with open_database(url) as database:
        durable = DurableJobs(database, url, conduct, assets, poll_s=0.1, **bounds)
        await durable.open()
        try:
            yield durable
        finally:
            await durable.close()
