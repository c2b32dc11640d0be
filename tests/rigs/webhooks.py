"""Webhooks at work for tests: an engine of jobs, a receiver on loopback, and a clock that runs days in no time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import Dialect, Float, literal

from gateway.database.connection import Database, open_database
from gateway.database.tables import Moment
from gateway.dialects.native.webhooks import announce
from gateway.egress.hosts import Egress
from gateway.jobs.engine import JobEngine
from gateway.webhooks.announcement import Announcer
from gateway.webhooks.records import Delivery, DeliveryStatus
from gateway.webhooks.sender import Sender
from gateway.webhooks.timing import Clock, Timing
from gateway.webhooks.webhooks import Webhooks
from gateway.workflows.tasks import TaskWorkflows
from tests.rigs.jobs import engine, workflows_of

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
        return Clock(seconds=lambda: self.at, of_database=self._moment)

    def _moment(self, dialect: Dialect) -> Moment:
        return literal(self.at, Float)

    async def sleep(self, seconds: float) -> None:
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
    egress: Egress | None = None,
    timeout_s: float = 15.0,
    notify: Any = None,
    announcers: Mapping[str, Announcer] = ANNOUNCERS,
    max_waiting: int = 100,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    **timing: Any,
) -> AsyncIterator[Site]:
    """A site of that kind of engine; `sleep` is one's of a process, `timing` that of the webhooks."""
    with open_database("" if kind == "process" else url) as database:
        workflows = TaskWorkflows(4, sleep) if kind == "process" else workflows_of(kind, url, poll_s=0.05)
        egress = egress or Egress(allow=allow)
        sender = Sender(egress, timeout_s)
        webhooks = Webhooks(database, workflows, egress, announcers, sender=sender, timing=Timing(**timing))
        told = {"outbox": webhooks.outbox.write, "notify": notify or webhooks.outbox.written}
        deliver = webhooks.deliveries.attempt
        async with engine(database, workflows, folder, conduct, deliver, max_waiting=max_waiting, **told) as jobs:
            webhooks.open()
            try:
                yield Site(jobs, webhooks, database)
            finally:
                await webhooks.close()
