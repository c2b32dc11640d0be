"""How a job's end is told: what a dialect gives for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.jobs import Job


@dataclass(frozen=True)
class Announcement:
    """What is told of a job's end: the event's name, by which endpoints choose, and the JSON that is sent."""

    event: str
    body: Mapping[str, Any]


Link = Callable[[str], str]
"""URL of a stored picture by its name; of its base64 as text with `.base64` behind the name."""

Announcer = Callable[[Job, Link], Announcement]
"""How a dialect tells of a job's end. Any dialect's job may come: an endpoint hears of all, in its own dialect."""

Signer = Callable[[str, str], Mapping[str, str]]
"""Headers in which a dialect signs, beside those of Standard Webhooks: of a secret and a body."""
