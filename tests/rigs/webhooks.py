"""Webhooks at work for tests: an engine of jobs, a receiver on loopback, and a clock that runs days in no time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from obstore.store import LocalStore
from sqlalchemy import Dialect, Float, literal

from gateway.database.connection import Database, open_database
from gateway.database.tables import Moment
from gateway.dialects.native.webhooks import announce
from gateway.egress.hosts import Egress
from gateway.files.assets import Assets
from gateway.jobs.engine import DurableJobs
from gateway.jobs.job import JobEngine
from gateway.jobs.memory_engine import MemoryJobs
from gateway.webhooks.announcement import Announcer
from gateway.webhooks.deliveries import Clock, Webhooks
from gateway.webhooks.records import Delivery, DeliveryStatus
from gateway.webhooks.sender import Sender

ANNOUNCERS: Mapping[str, Announcer] = {"native": announce}
HURRIED = (0.0, 0.05, 0.05, 0.05)


@dataclass(frozen=True)
class Call:
    """What a receiver was sent."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Answer = Callable[[web.BaseRequest], Any]


@dataclass
class Receiver:
    """An HTTP server that remembers what it was sent; `answers` by path are given in turn, the last one again."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    answers: dict[str, list[Any]] = field(default_factory=dict)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    async def until(self, count: int, path: str | None = None) -> list[Call]:
        """The calls, once there are so many."""
        async with asyncio.timeout(30), self.came:
            await self.came.wait_for(lambda: len(self.calls if path is None else self.at(path)) >= count)
        return self.calls if path is None else self.at(path)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append(Call(request.path, headers, await request.read()))
        async with self.came:
            self.came.notify_all()
        answers = self.answers.get(request.path, [200])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = 200
        return answer() if callable(answer) else web.Response(status=answer, text="thank you")


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()


class Days:
    """A clock whose waiting costs nothing; remembers how long was waited."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.start = self.at = start
        self.pauses: list[float] = []

    def clock(self) -> Clock:
        return Clock(seconds=lambda: self.at, of_database=self._moment, sleep=self._sleep)

    def _moment(self, dialect: Dialect) -> Moment:
        return literal(self.at, Float)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at += seconds
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Site:
    """An engine of jobs with webhooks."""

    jobs: JobEngine
    webhooks: Webhooks
    database: Database

    async def settled(self, job_id: str) -> tuple[Delivery, ...]:
        """The deliveries of a job, once there are some and all of them are final."""
        return await self._once(job_id, lambda found: bool(found) and all(map(_is_final, found)))

    async def forgotten(self, job_id: str) -> None:
        """Returns once there are no deliveries of a job."""
        await self._once(job_id, lambda found: not found)

    async def _once(self, job_id: str, fits: Callable[[tuple[Delivery, ...]], bool]) -> tuple[Delivery, ...]:
        async with asyncio.timeout(30):
            while True:
                if fits(found := await self.webhooks.of_job(job_id)):
                    return found
                # Written after the answer was read, maybe by another process; there is nothing else to wait for.
                await asyncio.sleep(0.01)


def _is_final(delivery: Delivery) -> bool:
    return delivery.status != DeliveryStatus.PENDING


@asynccontextmanager
async def site(
    kind: str,
    url: str,
    folder: Path,
    conduct: Any,
    *,
    allow: Sequence[str] = ("127.0.0.1:*",),
    timeout_s: float = 15.0,
    written: Any = None,
    announcers: Mapping[str, Announcer] = ANNOUNCERS,
    limits: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Site]:
    """A site of that kind of engine; `options` are those of Webhooks."""
    assets = Assets(LocalStore(str(folder)), 60)
    bounds: dict[str, Any] = {"max_pictures": 4, "max_waiting": 100, "retention_s": 60.0, **(limits or {})}
    with open_database("" if kind == "memory" else url) as database:
        egress = options.pop("egress", None) or Egress(allow=allow)
        webhooks = Webhooks(database, egress, announcers, sender=Sender(egress, timeout_s), **options)
        told = {"outbox": webhooks.outbox, "written": written or webhooks.written}
        jobs: JobEngine
        if kind == "memory":
            jobs = MemoryJobs(conduct, assets, max_records=100, database=database, **told, **bounds)
        else:
            durable = DurableJobs(
                database, url, conduct, assets, poll_s=0.05, deliver=webhooks.attempt, **told, **bounds
            )
            webhooks.use(durable.workflows)
            await durable.open()
            jobs = durable
        webhooks.open()
        try:
            yield Site(jobs, webhooks, database)
        finally:
            await webhooks.close()
            await jobs.close()
