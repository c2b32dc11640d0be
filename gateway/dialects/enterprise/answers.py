"""Renders the enterprise dialect's answers about pictures: success, processing, polls, errors, webhooks.

Everything they need is in the job's record, so any process can render them.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from families.limits import MOST_CONTROLS
from gateway.dialects.common.declared import counts, spoken
from gateway.dialects.common.wording import note, renamed
from gateway.dialects.enterprise.declared import FIELDS
from gateway.files.assets import PATH
from gateway.jobs.job import Job, Status
from gateway.webhooks.announcement import Announcement
from mesh.errors import Conflict, Forbidden, InvalidInput, MeshError, NotEnabled, NotFound, Overloaded, Unauthenticated

_CHECKLIST = (
    "1. send your key in the field `key`; 2. check it for blanks and missing characters; "
    "3. check that it is a key of this deployment; 4. ask its operator if it was revoked."
)
_STATUSES: Mapping[type[MeshError], int] = {
    InvalidInput: 400,
    NotFound: 404,
    Unauthenticated: 401,
    Forbidden: 403,
    Conflict: 409,
    # Like features that are not in the caller's plan.
    NotEnabled: 403,
    Overloaded: 429,
}
# Fields of the canonical request -> the vendor's, to rename errors of the canonical request.
_NAMES = spoken(tuple(FIELDS["controlnet"].values()))
_COUNTS = counts(FIELDS["controlnet"].values())
_NUMBER_SENT = re.compile(r"(?<=, not )[0-9.]+\Z")
_TRY_AGAIN = "Failed, Try Again"


def success(job: Job, output: Sequence[str], links: Sequence[str], remarks: Sequence[str]) -> dict[str, Any]:
    """The body for finished pictures.

    Args:
        job: a job that has succeeded.
        output: the pictures: links, or base64 if the deployment or the key says so.
        links: URLs of the pictures.
        remarks: sentences for the caller.
    """
    body = {
        "status": "success",
        "generationTime": _seconds(job),
        "id": job.number,
        "output": list(output),
        "proxy_links": list(links),
        "future_links": list(links),
        "webhook_status": "",
        "meta": meta(job),
    }
    return body | _tip([*remarks, *_notes(job)]) | _tracked(job)


def processing(
    job: Job, links: Sequence[str], fetch_url: str, remarks: Sequence[str], nothing: str | list[str]
) -> dict[str, Any]:
    """The body for pictures that are still being made; `nothing` is sent in their place."""
    words = "Try to fetch request after seconds estimated"
    body = {
        "status": "processing",
        "tip": " ".join(["Your request is being made; poll fetch_result.", *remarks]),
        "tip_1": "The operator of this deployment can configure a longer wait.",
        "eta": eta(job),
        "messege": words,
        "message": words,
        "webhook_status": "waiting for the pictures" if job.webhook else "",
        "fetch_result": fetch_url,
        "id": job.number,
        "output": nothing,
        "future_links": list(links),
        "meta": meta(job),
    }
    return body | _tracked(job)


def polled(job: Job, output: Sequence[str], links: Sequence[str]) -> dict[str, Any]:
    """The body of the answer to a poll."""
    if job.pictures:
        done = {"status": "success", "id": job.number, "output": list(output)}
        return done | {"proxy_links": list(links), "future_links": list(links)} | _tip(_notes(job))
    if job.is_finished:
        return failed(job)
    words = "try again later."
    return {
        "status": "processing",
        "id": job.number,
        "eta": eta(job),
        "messege": words,
        "message": words,
        "output": "",
        "tip": "Your request is being made.",
    }


def failed(job: Job) -> dict[str, Any]:
    """The body for a generation that ended without pictures."""
    body = {"status": "failed", "id": job.number, "message": _TRY_AGAIN, "messege": _TRY_AGAIN, "output": ""}
    return body | {"tip": _reason(job)}


def announced(job: Job) -> Announcement:
    """The webhook message at a job's end; also for another dialect's job, which has no `meta` to repeat."""
    track_id = job.echo.get("track_id")
    if job.status != Status.SUCCEEDED:
        told = {"status": "failed", "id": job.number, "message": _reason(job), "track_id": track_id}
        return Announcement("generation.failed", told)
    suffix = ".base64" if job.echo.get("base64") else ""
    base = job.echo.get("base_url", "")
    body = {
        "status": "success",
        "id": job.number,
        "output": [f"{base}{PATH}/{name}{suffix}" for name in job.assets],
        "generationTime": _seconds(job),
        "track_id": track_id,
        "meta": meta(job),
    }
    return Announcement("generation.success", body)


def error(fault: MeshError) -> dict[str, Any]:
    """The body for a refused request. The vendor spells `message` in two ways; clients read either."""
    words: Any = fault.message
    more: dict[str, Any] = {}
    if isinstance(fault, Unauthenticated):
        words, more = "Invalid Api Key", {"tip": _CHECKLIST}
    elif isinstance(fault, Overloaded):
        words, more = "Rate limit exceeded", {"tips": f"{fault.message} Wait a little between requests."}
    elif fault.field and fault.message.endswith("field is required."):
        words = {fault.field: [fault.message]}
    elif tip := getattr(fault, "tip", None):
        more = {"tip": tip}
    if fault.retry_after_s is not None:
        more["retry_after"] = max(1, round(fault.retry_after_s))
    return {"status": "error", "message": words, "messege": words} | more


def status_of(fault: MeshError) -> int:
    """HTTP status of an error, if the deployment, the key or the version of the path wants one other than 200."""
    return next((status for cls, status in _STATUSES.items() if isinstance(fault, cls)), 0) or (
        503 if fault.retry_after_s is not None else 500
    )


@lru_cache(64)
def _names(function: str) -> Mapping[str, str]:
    return {**_NAMES, **spoken(tuple(FIELDS[function].values()))}


def in_vendors_words(fault: MeshError, job: Job | None = None, function: str = "controlnet") -> MeshError:
    """`fault` with the vendor's name of its field, as `function` calls it; `job` knows which field its controls'
    pictures came in, and which numbers were clamped: errors have those that were sent."""
    steering = job.echo.get("steering") if job else None
    pictures = {f"controls[{index}].image": steering for index in range(MOST_CONTROLS)} if steering else {}
    fault = renamed(fault, {**_names(function), **pictures}, _COUNTS)
    if job and (sent := job.echo.get("outside", {}).get(fault.field)):
        fault.message = _NUMBER_SENT.sub(lambda _: str(sent), fault.message)
    return fault


def with_tip(fault: MeshError, remarks: Sequence[str]) -> MeshError:
    """`fault` with a tip: it may be about a number that was not used as sent, unless the error itself is about it."""
    if left := [one for one in remarks if not (fault.field and one.startswith(f"{fault.field} was set to "))]:
        fault.tip = " ".join(left)  # type: ignore[attr-defined]
    return fault


def meta(job: Job) -> dict[str, Any]:
    """The request as it was executed, with numbers and text in the vendor's types."""
    asked, echo = job.generation, job.echo.get("meta", {})
    width, height = (job.pictures[0].width, job.pictures[0].height) if job.pictures else (asked.width, asked.height)
    return {
        **echo,
        # The encoded text, after enhancement, once it is known.
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
    """Estimated seconds left, at least 1; an int if whole, because some clients accept only that type."""
    left = 10.0
    if job.started_at and job.step:
        taken = (datetime.now(UTC) - job.started_at).total_seconds()
        left = taken / job.step * (job.steps - job.step)
    rounded = round(max(left, 1.0), 2)
    return int(rounded) if rounded.is_integer() else rounded


def _seconds(job: Job) -> float:
    started, finished = job.started_at or job.created_at, job.finished_at or job.created_at
    return round((finished - started).total_seconds(), 2)


def _reason(job: Job) -> str:
    return in_vendors_words(job.error, job).message if job.error else "the generation was cancelled"


def _notes(job: Job) -> list[str]:
    """The services' notes in the vendor's words."""
    steering = {f"controls[{index}]": str(job.echo.get("steering") or "") for index in range(MOST_CONTROLS)}
    return [note(text, _NAMES | {name: field for name, field in steering.items() if field}) for text in job.notes]


def _tip(remarks: Sequence[str]) -> dict[str, str]:
    return {"tip": " ".join(remarks)} if remarks else {}


def _tracked(job: Job) -> dict[str, Any]:
    track_id = job.echo.get("track_id")
    return {} if track_id is None else {"track_id": track_id}
