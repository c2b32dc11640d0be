"""The webhook outbox: writes the deliveries about a job in the transaction that accepts or ends it."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

from gateway.jobs.job import Job
from gateway.webhooks import endpoint_records, records
from gateway.webhooks.announcement import ALL_EVENTS, Announcement, Announcer, Link
from gateway.webhooks.timing import Timing
from gateway.workflows.port import DeliveryQueue
from mesh.telemetry import log

Linking = Callable[[Connection, Job], Link]
"""Returns the Link for a job's pictures."""


class DeliveryOutbox:
    """Writes deliveries, and enqueues their attempts after the commit.

    If the process dies in between, a delivery is found when it is overdue; see gateway.webhooks.deliveries.

    Args:
        queue: schedules the attempts.
        announcers: dialect -> its announcer; other dialects use that of `fallback`.
        linking: returns the Link for a job's pictures; None: names are used as they are.
        timing: the clock, and the pause before the first attempt.
        fallback: the dialect whose announcer is used for dialects without one.
    """

    def __init__(
        self,
        queue: DeliveryQueue,
        announcers: Mapping[str, Announcer],
        linking: Linking | None,
        timing: Timing,
        fallback: str = "native",
    ) -> None:
        self._queue = queue
        self._announcers = announcers
        self._linking = linking
        self._timing = timing
        self._fallback = fallback
        self._written: dict[str, list[records.Waiting]] = {}

    def write(self, connection: Connection, job: Job) -> None:
        """Write the deliveries about a job that was accepted or has ended; see gateway.jobs.job.Outbox.

        A request's webhook URL is notified of the end only: the caller already has the answer to the request.
        """
        told: list[tuple[str | None, str, str, Sequence[str]]] = []
        if job.webhook and job.is_finished:
            told.append((None, job.webhook, job.dialect, (ALL_EVENTS,)))
        own = endpoint_records.of_owner(connection, job.owner)
        told += [(one.id, one.url, one.dialect, one.events) for one in own if one.enabled]
        self._announce(connection, job, told)

    def enqueue(
        self, connection: Connection, about: str, owner: str, url: str, dialect: str, told: Announcement
    ) -> None:
        """Write the delivery to `url` about something other than a job, by its id; see `written`."""
        self._insert_deliveries(connection, about, owner, [(None, url, dialect, told)])

    async def written(self, about: str) -> None:
        """Enqueue the deliveries written for this job, or other id, once the transaction has committed.

        Never raises.
        """
        waiting = self._written.pop(about, [])
        pause_s = self._timing.schedule_s[0]
        try:
            for delivery in waiting:
                await self._queue.put(delivery.id, delivery.number, delivery.owner, pause_s)
        except Exception as error:
            log.warning(
                "deliveries not enqueued; they will be found when overdue",
                generation=about,
                reason=type(error).__name__,
            )

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
                "endpoint_id": endpoint_id,
                "url": url,
                "event": announcement.event,
                "dialect": dialect,
                "body": orjson.dumps(announcement.body).decode(),
            }
            for endpoint_id, url, dialect, announcement in told
        ]
        if rows:
            now = self._timing.clock.of_database(connection.dialect)
            written = records.write(connection, now, owner, rows)
            waiting = [records.Waiting(id, owner, 0) for id in written]
            self._written.setdefault(about, []).extend(waiting)

    def _announced(self, dialect: str, job: Job, link: Link) -> Announcement | None:
        try:
            return self._announcers.get(dialect, self._announcers[self._fallback])(job, link)
        except Exception as error:  # A job must start and end even if it can't be announced.
            log.error("announcement of a webhook failed", exc_info=error, generation=job.id, dialect=dialect)
            return None
