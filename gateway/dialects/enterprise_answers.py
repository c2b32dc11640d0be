"""Writes the enterprise dialect's answers: success, processing, the states of a poll, errors."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gateway.jobs import Job
from mesh.errors import InvalidInput, MeshError, NotFound, Overloaded, Unauthenticated

_CHECKLIST = (
    "1. send your key in the field `key`; 2. check it for blanks and missing characters; "
    "3. see that it is a key of this deployment; 4. ask its operator if it was withdrawn."
)
_STATUSES: dict[type[MeshError], int] = {InvalidInput: 400, NotFound: 404, Unauthenticated: 401, Overloaded: 429}


def success(
    job: Job, number: int, links: Sequence[str], remarks: Sequence[str], echo: Mapping[str, Any]
) -> dict[str, Any]:
    """The body for finished pictures.

    Args:
        job: succeeded.
        number: the vendor's integer id.
        links: where the pictures lie.
        remarks: sentences for the caller.
        echo: what repeats the request in `meta`.
    """
    started, finished = job.started_at or job.created_at, job.finished_at or job.created_at
    body = {
        "status": "success",
        "generationTime": round((finished - started).total_seconds(), 2),
        "id": number,
        "output": list(links),
        "proxy_links": list(links),
        "future_links": list(links),
        "webhook_status": "",
        "meta": meta(job, echo),
    }
    return body | _tip([*remarks, *job.notes])


def processing(
    job: Job, number: int, links: Sequence[str], fetch_url: str, remarks: Sequence[str], echo: Mapping[str, Any]
) -> dict[str, Any]:
    """The body for pictures that are still being made."""
    words = "Try to fetch request after seconds estimated"
    return {
        "status": "processing",
        "tip": " ".join(["Your request is being made; poll fetch_result.", *remarks]),
        "tip_1": "A key may be given a longer hold by the operator of this deployment.",
        "eta": eta(job),
        "messege": words,
        "message": words,
        "webhook_status": "",
        "fetch_result": fetch_url,
        "id": number,
        "output": "",
        "future_links": list(links),
        "meta": meta(job, echo),
    }


def polled(job: Job, number: int, links: Sequence[str]) -> dict[str, Any]:
    """The body for a poll."""
    if job.pictures:
        done = {"status": "success", "id": number, "output": list(links)}
        return done | {"proxy_links": list(links), "future_links": list(links)} | _tip(job.notes)
    if job.is_finished:
        return failed(job, number)
    words = "try again later."
    return {
        "status": "processing",
        "id": number,
        "eta": eta(job),
        "messege": words,
        "message": words,
        "output": "",
        "tip": "Your request is being made.",
    }


def failed(job: Job, number: int) -> dict[str, Any]:
    """The body for a generation that ended without pictures."""
    words = "Failed, Try Again"
    reason = job.error.message if job.error else "the generation was cancelled"
    return {"status": "failed", "id": number, "message": words, "messege": words, "output": "", "tip": reason}


def error(fault: MeshError) -> dict[str, Any]:
    """The body for a request that was not taken. The vendor spells `message` in two ways; clients read either."""
    words: Any = fault.message
    more: dict[str, Any] = {}
    if isinstance(fault, Unauthenticated):
        words, more = "Invalid Api Key", {"tip": _CHECKLIST}
    elif isinstance(fault, Overloaded):
        words, more = "Rate limit exceeded", {"tips": f"{fault.message} Wait a little between requests."}
    elif fault.field and fault.message.endswith("field is required."):
        words = {fault.field: [fault.message]}
    if fault.retry_after_s is not None:
        more["retry_after"] = max(1, round(fault.retry_after_s))
    return {"status": "error", "message": words, "messege": words} | more


def status_of(fault: MeshError) -> int:
    """HTTP status where the deployment, or the version of the path, wants one that tells."""
    return next((status for cls, status in _STATUSES.items() if isinstance(fault, cls)), 0) or (
        503 if fault.retry_after_s is not None else 500
    )


def meta(job: Job, echo: Mapping[str, Any]) -> dict[str, Any]:
    """The request as it was carried out: numbers and text in the vendor's types."""
    asked = job.generation
    width, height = (job.pictures[0].width, job.pictures[0].height) if job.pictures else (asked.width, asked.height)
    return {
        **echo,
        # What was encoded, enhancement and all, once that is known.
        "prompt": asked.prompt if job.prompt is None else job.prompt,
        "negative_prompt": asked.negative_prompt if job.negative_prompt is None else job.negative_prompt,
        "model_id": echo.get("model_id") or asked.model,
        "scheduler": asked.scheduler,
        "W": width,
        "H": height,
        "guidance_scale": asked.guidance_scale,
        "seed": asked.seed,
        "steps": asked.steps,
        "n_samples": asked.samples,
        "file_prefix": job.assets[0],
    }


def eta(job: Job) -> float:
    """Seconds left, at least 1, from the pace so far; an int when whole, as some clients wait for that type only."""
    left = 10.0
    if job.started_at and job.step:
        taken = (datetime.now(UTC) - job.started_at).total_seconds()
        left = taken / job.step * (job.steps - job.step)
    rounded = round(max(left, 1.0), 2)
    return int(rounded) if rounded.is_integer() else rounded


def _tip(remarks: Sequence[str]) -> dict[str, str]:
    return {"tip": " ".join(remarks)} if remarks else {}
