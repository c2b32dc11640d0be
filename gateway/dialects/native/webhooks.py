"""Webhook messages of the native API: an event with the record of the generation."""

from gateway.bootstrap import Voice
from gateway.dialects.native.record import record
from gateway.jobs.job import Job
from gateway.webhooks.announcement import EVENTS, Announcement, Link

NAME = "native"


def announce(job: Job, link: Link) -> Announcement:
    """The record in the envelope recommended by Standard Webhooks."""
    event = EVENTS[job.status]
    data = record(job, [link(picture.asset) for picture in job.pictures])
    return Announcement(event, {"type": event, "timestamp": job.finished_at or job.created_at, "data": data})


VOICE = Voice(announce, events=tuple(EVENTS.values()))
