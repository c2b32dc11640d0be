"""Deliveries: attempted until they succeed, given up after days, deleted after the retention time.

A delivery is written in the transaction that accepts or ends a job (gateway.webhooks.outbox), and attempted by the
queue afterwards; if its process dies in between or later, it is found when it is overdue. Delivery is at least once and
unordered: a receiver may get an event twice, with the same id, and a job's end before its beginning.
"""

import asyncio
import secrets
from collections.abc import Mapping
from functools import partial

from prometheus_client import Counter
from sqlalchemy import Connection
from yarl import URL

from gateway.database import tables
from gateway.database.connection import Database
from gateway.webhooks import endpoint_records, records
from gateway.webhooks.announcement import Signer
from gateway.webhooks.endpoints import owners_secret
from gateway.webhooks.places import ReceiverPlaces
from gateway.webhooks.sender import Answer, Sender, signature
from gateway.webhooks.timing import Timing
from gateway.workflows.port import DeliveryQueue
from mesh.periodic import every, sweep_every_s
from mesh.telemetry import log

DELIVERIES = Counter("cn_webhook_deliveries_total", "Attempts to deliver webhooks, by result.", ["result"])

GONE = "it answered 410"
BROKEN = "nothing was delivered there for days"
"""Reasons for disabling an endpoint: at once; or when all scheduled attempts of a delivery have failed, and no other
delivery has succeeded since it was written."""


class Deliveries:
    """Attempts deliveries.

    Args:
        database: of the records.
        queue: schedules the attempts.
        sender: posts the messages.
        signers: dialect -> its own signature headers, if it has some.
        timing: the schedule, the retention time and the clock.
    """

    def __init__(
        self, database: Database, queue: DeliveryQueue, sender: Sender, signers: Mapping[str, Signer], timing: Timing
    ) -> None:
        self._database = database
        self._queue = queue
        self._sender = sender
        self._signers = signers
        self._timing = timing
        self._places = ReceiverPlaces()
        self._trying: set[asyncio.Task[tuple[float, Answer] | None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def open(self) -> None:
        """Start to look for overdue deliveries."""
        self._tasks = [
            asyncio.create_task(every(self._timing.look_s, self._find)),
            asyncio.create_task(every(sweep_every_s(self._timing.retention_s), self._sweep)),
        ]

    async def close(self) -> None:
        """Stop; pending deliveries are left to other processes, or to the next one."""
        self._closing = True
        for task in (*self._tasks, *self._trying):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._trying, return_exceptions=True)

    async def attempt(self, id: str, number: int) -> None:
        """Attempt a delivery after `number` attempts; enqueue the next one. See gateway.workflows.port.Deliver."""
        if self._closing:
            return
        found = await self._database.run(partial(self._due, id=id, number=number))
        if found is None:
            return
        due, secret = found
        trying = asyncio.create_task(self._post(due, secret))
        self._trying.add(trying)
        try:
            answered = await trying
        except asyncio.CancelledError:
            if self._closing:
                return
            raise
        finally:
            self._trying.discard(trying)
        if answered is None:
            return
        sent_at, answer = answered
        if (pause_s := await self._noted(due, sent_at, answer)) is not None:
            await self._queue.put(id, number + 1, due.owner, pause_s)

    def _due(self, connection: Connection, id: str, number: int) -> tuple[records.Due, str] | None:
        due = records.due(connection, id, number, self._now(connection))
        return None if due is None else (due, due.secret or owners_secret(connection, due.owner))

    async def _post(self, due: records.Due, secret: str) -> tuple[float, Answer] | None:
        """The time of sending, and the answer; None if meanwhile it was done, or its endpoint is gone."""
        host = URL(due.url).host or ""
        async with self._places.of(due.owner, host) as waited:
            if waited and await self._database.run(partial(self._due, id=due.id, number=due.number)) is None:
                return None
            sent_at = self._timing.clock.seconds()
            headers = signature(secret, due.id, sent_at, due.body)
            if signer := self._signers.get(due.dialect):
                headers |= signer(secret, due.body)
            answer = await self._sender.post(due.url, due.body, headers)
        self._places.learn(due.owner, host, answer)
        return sent_at, answer

    async def _noted(self, due: records.Due, sent_at: float, answer: Answer) -> float | None:
        """Record the result of an attempt; returns the pause before the next one in seconds, None if there is none."""
        made = records.Try(tables.moment(sent_at), str(answer))
        is_final = answer.is_success or answer.is_gone
        pause_s = None if is_final else self._timing.pause_s(due.number + 1, answer.retry_after_s)

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

    async def _find(self) -> None:
        """Enqueue overdue deliveries without a workflow: their process died after writing or while attempting them."""

        def overdue(connection: Connection) -> list[str]:
            return records.overdue(connection, self._now(connection), self._timing.grace_s)

        ids = await self._queue.abandoned(await self._database.run(overdue))
        if not ids:
            return

        def claim(connection: Connection) -> list[records.Waiting]:
            return records.claim(connection, ids, self._now(connection), self._timing.grace_s)

        for waiting in await self._database.run(claim):
            log.warning("overdue delivery enqueued again", delivery=waiting.id)
            await self._queue.put(waiting.id, waiting.number, waiting.owner, 0.0, again=secrets.token_hex(4))

    async def _sweep(self) -> None:
        def remove(connection: Connection) -> list[str]:
            return records.remove_old(connection, self._now(connection), self._timing.retention_s)

        removed = await self._database.run(remove)
        if removed:
            await self._queue.forget(removed)

    def _now(self, connection: Connection) -> tables.Moment:
        return self._timing.clock.of_database(connection.dialect)
