"""What webhooks carry in the native API: an event with the record of the generation."""

from gateway.announcement import Announcement, Link
from gateway.dialects.native_record import record
from gateway.jobs import Job, Status

NAME = "native"
EVENTS = {
    Status.QUEUED: "generation.created",
    Status.SUCCEEDED: "generation.completed",
    Status.FAILED: "generation.failed",
    Status.CANCELLED: "generation.cancelled",
}


def announce(job: Job, link: Link) -> Announcement:
    """The record in the envelope that Standard Webhooks recommends."""
    event = EVENTS[job.status]
    data = record(job, [link(picture.asset) for picture in job.pictures])
    return Announcement(event, {"type": event, "timestamp": job.finished_at or job.created_at, "data": data})
