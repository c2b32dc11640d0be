"""Webhooks: who is told that a job was taken, who that it has ended, and that it is told until it was heard.

A delivery is written in the transaction that takes or ends the job, and tried by the queue afterwards; one whose
process died in between, or later, is found when it is overdue. Receivers may hear of the same thing twice, under the
same id, and of a job's end before its beginning: every message is tried by itself.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from prometheus_client import Counter
from sqlalchemy import Connection, Dialect
from yarl import URL

from gateway.database import tables
from gateway.database.connection import Database
from gateway.egress.hosts import Egress
from gateway.jobs.job import Job
from gateway.webhooks import endpoint_records, records
from gateway.webhooks.announcement import ALL_EVENTS, Announcement, Announcer, Link, Signer
from gateway.webhooks.endpoints import Endpoints, owners_secret
from gateway.webhooks.sender import Answer, Sender, signature
from gateway.workflows.port import DeliveryQueue, Tasks
from mesh.periodic import every
from mesh.telemetry import log

DELIVERIES = Counter("cn_webhook_deliveries_total", "Attempts to deliver webhooks, by result.", ["result"])

SCHEDULE_S = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Pauses before the attempts, as Standard Webhooks has them: three days in all."""
GONE = "it answered 410"
BROKEN = "nothing was delivered there for days"
"""Why an endpoint is disabled: at once, or when a delivery has failed to the end of the schedule, and none has
succeeded since it was written."""
_JITTER = 0.1
_LONGEST_PAUSE_S = 86_400.0
_GRACE_S = 5.0
_LOOK_S = 2.0

Linking = Callable[[Connection, Job], Link]


@dataclass(frozen=True)
class Clock:
    """Time: seconds since 1970 as this process has them and as the database has them, and waiting."""

    seconds: Callable[[], float] = time.time
    of_database: Callable[[Dialect], tables.Moment] = tables.now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Webhooks(Endpoints):
    """All that is known of webhooks.

    Args:
        database: of the records.
        outside: which hosts may be told.
        announcers: dialect -> how it tells; the one of `fallback` tells for all others.
        linking: gives the Link of a job's pictures; None: names as they are.
        signers: dialect -> how it signs, if in a way of its own.
        events: dialect -> names of events, of those dialects that endpoints can be set up in.
        fallback: dialect of those that have no announcer.
        sender: posts; None for the usual one.
        clock, jitter: time, and the share of a tenth by which a pause is longer.
        schedule_s: pauses before the attempts.
        retention_s: seconds that a finished delivery is remembered.
        grace_s, look_s: seconds after which a delivery counts as overdue, and between two looks for such.
    """

    def __init__(
        self,
        database: Database,
        egress: Egress,
        announcers: Mapping[str, Announcer],
        *,
        linking: Linking | None = None,
        signers: Mapping[str, Signer] | None = None,
        events: Mapping[str, Sequence[str]] | None = None,
        fallback: str = "native",
        sender: Sender | None = None,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
        schedule_s: Sequence[float] = SCHEDULE_S,
        retention_s: float = 86_400.0,
        grace_s: float = _GRACE_S,
        look_s: float = _LOOK_S,
    ) -> None:
        super().__init__(database, egress, (clock := clock or Clock()).of_database)
        self._announcers = announcers
        self._linking = linking
        self._signers = signers or {}
        self.events = events or {}
        self._fallback = fallback
        self._sender = sender or Sender(egress)
        self._clock = clock
        self._jitter = jitter
        self._schedule_s = tuple(schedule_s)
        self._retention_s = retention_s
        self._grace_s = grace_s
        self._look_s = look_s
        self._own = Tasks(self.attempt, clock.sleep)
        self._queue: DeliveryQueue = self._own
        self._written: dict[str, list[records.Waiting]] = {}
        self._trying: set[asyncio.Task[Answer]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def use(self, queue: DeliveryQueue) -> None:
        """Have deliveries tried by `queue`, which asks `attempt` for it, and not by tasks of this process."""
        self._queue = queue

    def open(self) -> None:
        """Begin to look for what is overdue."""
        self._tasks = [
            asyncio.create_task(every(self._look_s, self._find)),
            asyncio.create_task(every(min(600.0, self._retention_s / 10), self._sweep)),
        ]

    async def close(self) -> None:
        """Try nothing more; what is pending is for other processes, or for the next one."""
        self._closing = True
        for task in (*self._tasks, *self._trying):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._trying, return_exceptions=True)
        await self._own.close()

    # --- what follows from a job --------------------------------------------------------------------------------

    def outbox(self, connection: Connection, job: Job) -> None:
        """Write what is to be delivered of a job that was taken or has ended; see gateway.jobs.job.Outbox.

        The URL of a request is told of the end alone: whoever gave it has the answer to the request.
        """
        told: list[tuple[str | None, str, str, Sequence[str]]] = []
        if job.webhook and job.is_finished:
            told.append((None, job.webhook, job.dialect, (ALL_EVENTS,)))
        own = endpoint_records.of_owner(connection, job.owner)
        told += [(one.id, one.url, one.dialect, one.events) for one in own if one.enabled]
        self._announce(connection, job, told)

    async def written(self, job_id: str) -> None:
        """Have tried, at once, what was written about it, once that transaction is done. Never raises."""
        waiting = self._written.pop(job_id, [])
        try:
            for delivery in waiting:
                await self._put(delivery.id, delivery.number, delivery.url, self._schedule_s[0])
        except Exception as error:
            log.warning("deliveries wait to be found", generation=job_id, reason=type(error).__name__)

    async def of_job(self, job_id: str) -> tuple[records.Delivery, ...]:
        """What was, is and will be delivered about a job."""
        return await self._database.run(partial(records.of_job, job_id=job_id))

    async def secret_of(self, owner: str) -> str:
        """What signs the webhooks of an owner's requests, in the form of Standard Webhooks; always the same."""
        return await self._database.run(partial(owners_secret, owner=owner))

    # --- an attempt ---------------------------------------------------------------------------------------------

    async def attempt(self, id: str, number: int) -> None:
        """Try a delivery that was tried `number` times; enqueue the next attempt. See workflows.port.Deliver."""
        if self._closing:
            return
        found = await self._database.run(partial(self._due, id=id, number=number))
        if found is None:
            return
        due, secret = found
        sent_at = self._clock.seconds()
        trying = asyncio.create_task(self._post(due, secret, sent_at))
        self._trying.add(trying)
        try:
            answer = await trying
        except asyncio.CancelledError:
            if self._closing:
                return
            raise
        finally:
            self._trying.discard(trying)
        if (pause_s := await self._noted(due, sent_at, answer)) is not None:
            await self._put(id, number + 1, due.url, pause_s)

    def _due(self, connection: Connection, id: str, number: int) -> tuple[records.Due, str] | None:
        due = records.due(connection, id, number, self._now(connection))
        return None if due is None else (due, due.secret or owners_secret(connection, due.owner))

    async def _post(self, due: records.Due, secret: str, sent_at: float) -> Answer:
        headers = signature(secret, due.id, sent_at, due.body)
        if signer := self._signers.get(due.dialect):
            headers |= signer(secret, due.body)
        return await self._sender.post(due.url, due.body, headers)

    async def _noted(self, due: records.Due, sent_at: float, answer: Answer) -> float | None:
        """Write down what came of an attempt; the pause before the next one, None for no other."""
        made = records.Try(tables.moment(sent_at), str(answer))
        pause_s = None if answer.is_success or answer.is_gone else self._pause(due.number + 1, answer)

        def note(connection: Connection) -> bool:
            now = self._now(connection)
            if answer.is_success:
                return records.delivered(connection, due, now, made)
            noted = records.failed(connection, due, now, made, pause_s)
            if noted and pause_s is None and due.endpoint_id is not None:
                why, since = (GONE, None) if answer.is_gone else (BROKEN, due.created_at)
                endpoint_records.disable(connection, now, due.endpoint_id, why, since)
            return noted

        if not await self._database.run(note):
            return None
        result = "delivered" if answer.is_success else "dead" if pause_s is None else "failed"
        DELIVERIES.labels(result).inc()
        return pause_s

    def _pause(self, number: int, answer: Answer) -> float | None:
        """Seconds before the attempt after `number` attempts."""
        if number >= len(self._schedule_s):
            return None
        usual = self._schedule_s[number] * (1 + _JITTER * self._jitter())
        return max(usual, min(answer.retry_after_s, _LONGEST_PAUSE_S))

    # --- what is written and found ------------------------------------------------------------------------------

    def enqueue(
        self, connection: Connection, about: str, owner: str, url: str, dialect: str, told: Announcement
    ) -> None:
        """Write what `url` is to be told of something that is no job, by an id of its own; see `written`."""
        self._insert_deliveries(connection, about, owner, [(None, url, dialect, told)])

    def _announce(
        self, connection: Connection, job: Job, told: Sequence[tuple[str | None, str, str, Sequence[str]]]
    ) -> None:
        wanted = []
        link = self._linking(connection, job) if told and self._linking else str
        for endpoint_id, url, dialect, events in told:
            announced = self._announced(dialect, job, link)
            if announced is not None and (announcement := announced.chosen(events)) is not None:
                wanted.append((endpoint_id, url, dialect, announcement))
        self._insert_deliveries(connection, job.id, job.owner, wanted)

    def _insert_deliveries(
        self, connection: Connection, about: str, owner: str, told: Sequence[tuple[str | None, str, str, Announcement]]
    ) -> None:
        rows: list[dict[str, Any]] = [
            {
                "id": f"msg_{secrets.token_hex(16)}",
                "job_id": about,
                "owner": owner,
                "endpoint_id": endpoint_id,
                "url": url,
                "event": announcement.event,
                "dialect": dialect,
                "body": orjson.dumps(announcement.body).decode(),
            }
            for endpoint_id, url, dialect, announcement in told
        ]
        if rows:
            written = set(records.write(connection, self._now(connection), rows))
            waiting = [records.Waiting(row["id"], row["url"], 0) for row in rows if row["id"] in written]
            self._written.setdefault(about, []).extend(waiting)

    def _announced(self, dialect: str, job: Job, link: Link) -> Announcement | None:
        try:
            return self._announcers.get(dialect, self._announcers[self._fallback])(job, link)
        except Exception as error:  # A job must begin and end, even if it can't be told of.
            log.error("a webhook can't be phrased", exc_info=error, generation=job.id, dialect=dialect)
            return None

    async def _put(self, id: str, number: int, url: str, delay_s: float, again: str = "") -> None:
        await self._queue.put(id, number, URL(url).host or "", delay_s, again)

    async def _find(self) -> None:
        """Have tried what nobody tries: a process died after it was written, or on the way."""

        def overdue(connection: Connection) -> list[str]:
            return records.overdue(connection, self._now(connection), self._grace_s)

        ids = await self._queue.abandoned(await self._database.run(overdue))
        if not ids:
            return

        def claim(connection: Connection) -> list[records.Waiting]:
            return records.claim(connection, ids, self._now(connection), self._grace_s)

        for waiting in await self._database.run(claim):
            log.warning("delivery taken up again", delivery=waiting.id)
            await self._put(waiting.id, waiting.number, waiting.url, 0.0, again=secrets.token_hex(4))

    async def _sweep(self) -> None:
        def remove(connection: Connection) -> list[str]:
            return records.remove_old(connection, self._now(connection), self._retention_s)

        removed = await self._database.run(remove)
        if removed:
            await self._queue.forget(removed)
