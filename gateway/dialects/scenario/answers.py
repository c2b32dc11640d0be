"""Renders the Scenario dialect's answers: jobs, errors, times, ids, as compact JSON."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from opentelemetry import trace
from starlette.requests import Request
from starlette.responses import Response

from gateway.dialects.scenario.errors import noted, spoken
from gateway.dialects.scenario.job_view import told
from gateway.jobs.job import Job, Status
from gateway.web import problem
from gateway.web.malformed import Malformed
from mesh.errors import (
    HTTP_STATUS,
    DeadlineExceeded,
    InvalidInput,
    MeshError,
    NotEnabled,
    Overloaded,
    Unauthenticated,
)
from mesh.telemetry import request_id

COST = {"creativeUnitsCost": 0, "creativeUnitsDiscount": 0}
"""Nothing is charged here. A client reads the first number after a colon in the body as the price: the cost must come
first, and no blank may follow the colon."""
DRY_RUN = 269
"""Status of an answer that has only the price."""
STATUSES: Mapping[Status, str] = {
    Status.QUEUED: "queued",
    Status.RUNNING: "in-progress",
    Status.SUCCEEDED: "success",
    Status.FAILED: "failure",
    Status.CANCELLED: "canceled",
}
JOB_ID = re.compile(r"job_([0-9a-f]{32})")
ASSET_ID = re.compile(r"asset_([0-9a-f]{32})")
_PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def respond(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`body` as a response."""
    return Response(orjson.dumps(body), status, headers, "application/json")


def asset_id(name: str) -> str:
    """The vendor's form of the id of file `name`."""
    return f"asset_{name.partition('.')[0]}"


def author(owner: str) -> str:
    """The vendor's form of an owner's id."""
    return f"user_{owner}"


def project(request: Request, owner: str) -> str:
    """The project id: the one in the request, which has no effect here, or the owner's only one."""
    named = request.query_params.get("projectId", "")
    return named if _PROJECT_ID.fullmatch(named) else f"proj_{owner}"


def moment(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def submitted(job: Job) -> dict[str, Any]:
    """The answer to an accepted request. Its jobType is the route's; in polls it is the engine's."""
    return {"job": {**job_body(job), "jobType": told(job)["submitted_type"]}, **COST}


def polled(job: Job, asset: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The answer to a poll of a job; `asset` is its only picture, for clients that look for it there."""
    beside = {"asset": asset} if asset is not None else {}
    body = job_body(job)
    body["metadata"]["input"] = {**body["metadata"]["input"], "type": told(job)["route"]}
    return {"job": body, **beside, **COST}


def job_body(job: Job) -> dict[str, Any]:
    """A job, as it was requested in this dialect, or in the terms of this dialect."""
    said = told(job)
    metadata: dict[str, Any] = {
        "input": dict(said["input"]),
        "assetIds": [asset_id(picture.asset) for picture in job.pictures],
    }
    hints = [*said["remarks"], *(noted(text, said["steering"]) for text in job.notes)]
    failed = {}
    if job.status == Status.FAILED:
        reason = spoken(job.error, said["steering"]).message if job.error is not None else "the job failed"
        failed = {"error": reason}
        metadata["error"] = reason
    if hints:
        metadata["hint"] = " ".join(hints)
    return {
        "jobId": f"job_{job.id}",
        "jobType": said["type"],
        "status": STATUSES[job.status],
        "progress": _progress(job),
        "createdAt": moment(job.created_at),
        "updatedAt": moment(updated(job)),
        "authorId": author(job.owner),
        "ownerId": said["project"],
        "statusHistory": _history(job),
        "metadata": metadata,
        "billing": {"cuCost": 0, "cuDiscount": 0},
        **failed,
    }


def updated(job: Job) -> datetime:
    """Time of the record's last change, apart from progress."""
    return job.finished_at or job.started_at or job.created_at


def error(fault: MeshError, trace_id: str) -> dict[str, Any]:
    """The body for a failed request: the vendor's clients look at `reason`, then at `message`."""
    words = "Unauthorized" if isinstance(fault, Unauthenticated) else fault.message
    body: dict[str, Any] = {"reason": words, "message": words, "trace_id": trace_id}
    if isinstance(fault, Overloaded):
        body["remainingSeconds"] = _seconds(fault)
    return body


def refuse(fault: MeshError) -> Response:
    """The answer for a failed request."""
    status = status_of(fault)
    headers = problem.retry_header(fault)
    if isinstance(fault, Unauthenticated):
        headers["WWW-Authenticate"] = 'Basic realm="ControlMesh", charset="UTF-8"'
    if isinstance(fault, Overloaded):
        headers["Retry-After"] = str(_seconds(fault))
    if isinstance(fault, NotEnabled):
        # The vendor's SDK retries statuses of 500 and above unless this header says not to.
        headers["x-should-retry"] = "false"
    return respond(error(fault, _trace_id()), status, headers)


def status_of(fault: MeshError) -> int:
    """HTTP status of an error."""
    if isinstance(fault, Malformed):
        return fault.status
    if isinstance(fault, InvalidInput):
        return 400
    return 503 if isinstance(fault, DeadlineExceeded) else HTTP_STATUS[fault.code]


def _seconds(fault: MeshError) -> int:
    return max(1, round(fault.retry_after_s or 1))


def _trace_id() -> str:
    """The trace's id, or the request's without a trace; logs have both."""
    span = trace.get_current_span().get_span_context()
    return trace.format_trace_id(span.trace_id) if span.is_valid else request_id.get()


def _progress(job: Job) -> float:
    """Fraction of the work that is done; 1 is success."""
    if job.status == Status.SUCCEEDED:
        return 1
    # The pictures are stored after the last step.
    return min(round(job.step / job.steps, 3), 0.99) if job.step else 0


def _history(job: Job) -> Sequence[dict[str, str]]:
    known = [(job.created_at, Status.QUEUED)]
    if job.started_at is not None:
        known.append((job.started_at, Status.RUNNING))
    if job.is_finished:
        known.append((updated(job), job.status))
    return [{"date": moment(at), "status": STATUSES[status]} for at, status in known]
