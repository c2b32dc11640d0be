"""How it is told that a job was taken, or has ended: what a dialect gives for it."""

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
"""Our own names of what is told of a job."""


@dataclass(frozen=True)
class Announcement:
    """What is told of a job.

    Attributes:
        event: its name, by which endpoints choose.
        body: the JSON that is sent.
        alias: the same under a second name, for those who chose only that; None for no such.
    """

    event: str
    body: Mapping[str, Any]
    alias: "Announcement | None" = None

    def chosen(self, events: Collection[str]) -> "Announcement | None":
        """What somebody hears who chose `events`, names or ALL_EVENTS; None for nothing."""
        if ALL_EVENTS in events or self.event in events:
            return self
        return None if self.alias is None else self.alias.chosen(events)


Link = Callable[[str], str]
"""URL of a stored picture by its name; of its base64 as text with `.base64` behind the name."""

Announcer = Callable[[Job, Link], Announcement]
"""How a dialect tells of a job that was taken, or has ended; the job's status says which. Any dialect's job may come:
an endpoint hears of all, in its own dialect. Dialects that endpoints can't be set up for are asked of ends alone."""

Signer = Callable[[str, str], Mapping[str, str]]
"""Headers in which a dialect signs, beside those of Standard Webhooks: of a secret and a body."""
