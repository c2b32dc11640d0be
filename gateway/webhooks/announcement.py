"""Announcements of a job's acceptance or end, as the dialects write them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.jobs.job import Job, Status

ALL_EVENTS = "*"
EVENTS = {
    Status.QUEUED: "generation.created",
    Status.SUCCEEDED: "generation.completed",
    Status.FAILED: "generation.failed",
    Status.CANCELLED: "generation.cancelled",
}
"""The native event names, by the job's status."""


@dataclass(frozen=True)
class Announcement:
    """An event about a job.

    Attributes:
        event: the event's name, which endpoints subscribe to.
        body: the JSON to be sent.
        alias: the same event under a second name, for endpoints that subscribed only to that; None for none.
    """

    event: str
    body: Mapping[str, Any]
    alias: "Announcement | None" = None

    def chosen(self, events: Collection[str]) -> "Announcement | None":
        """The announcement for a subscription to `events`, names or ALL_EVENTS; None for none."""
        if ALL_EVENTS in events or self.event in events:
            return self
        return None if self.alias is None else self.alias.chosen(events)


Link = Callable[[str], str]
"""Returns the URL of a stored picture by name; with `.base64` after the name, of its base64 text."""

Announcer = Callable[[Job, Link], Announcement]
"""Writes a dialect's announcement of a job that was accepted or has ended; the job's status tells which. The job may be
of any dialect: endpoints are notified of all jobs, in their own dialect. In dialects without endpoints it is called for
ends only."""

Signer = Callable[[str, str], Mapping[str, str]]
"""Returns a dialect's signature headers for a secret and a body, in addition to those of Standard Webhooks."""
