"""The native record of a generation, for answers and webhooks."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.generation.declared import pictures_of
from gateway.generation.generation import Generation
from gateway.jobs.job import Job
from gateway.web import problem
from gateway.webhooks.records import Delivery

# Fields of a request and of a control that are left out of a record.
PICTURES = pictures_of(Generation)


def record(job: Job, links: Sequence[str], deliveries: Sequence[Delivery] | None = None) -> dict[str, Any]:
    """The record of a job as JSON.

    Args:
        job: in any state.
        links: URLs of its finished pictures, in order.
        deliveries: webhook deliveries about it; None if they were not looked up.
    """
    return {
        "id": job.id,
        "dialect": job.dialect,
        "status": job.status,
        "priority": job.priority,
        "attempts": job.attempts,
        "progress": {"step": job.step, "steps": job.steps},
        "images": [
            {"url": link, "seed": picture.seed, "width": picture.width, "height": picture.height}
            for picture, link in zip(job.pictures, links, strict=True)
        ],
        "notes": list(job.notes),
        "effective_prompt": job.prompt,
        "effective_negative_prompt": job.negative_prompt,
        "error": None if job.error is None else problem.details(job.error),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "webhook": job.webhook,
        "deliveries": None if deliveries is None else [_delivery(delivery) for delivery in deliveries],
        "request": _settings(job),
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "url": delivery.url,
        "event": delivery.event,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "last_answer": delivery.last_answer,
        "next_at": delivery.next_at,
        "created_at": delivery.created_at,
        "done_at": delivery.done_at,
    }


def _settings(job: Job) -> dict[str, Any]:
    """The settings that, with the same input pictures, reproduce the result."""
    known = _without_pictures(vars(job.generation))
    known["controls"] = [_without_pictures(vars(control)) for control in job.generation.controls]
    if job.pictures:
        # The size that was derived if none was requested.
        known |= {"width": job.pictures[0].width, "height": job.pictures[0].height}
    return known


def _without_pictures(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in PICTURES}
