"""Server-sent events of a generation's progress.

An event's id identifies the state that it reports. A stream begins with the current state, so a client that reconnects
misses only intermediate steps; the state in its Last-Event-ID is not repeated.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from gateway.bootstrap import Gateway
from gateway.dialects.native.body import png_url
from gateway.dialects.native.record import record
from gateway.generation.pipeline import Preview
from gateway.jobs.job import Job, Status
from gateway.web import problem

_HEARTBEAT_S = 10
RETRY_MS = 2000
"""Milliseconds after which a disconnected client should reconnect."""


def respond(gateway: Gateway, request: Request, job: Job, base: str) -> Response:
    """The events of `job` from now on; status 204, which stops reconnects, if the client already got the last one."""
    seen = request.headers.get("last-event-id")
    if job.is_finished and seen == _id(job):
        return Response(status_code=204)
    return EventSourceResponse(_events(gateway, job, base, seen), ping=_HEARTBEAT_S)


async def _events(gateway: Gateway, job: Job, base: str, seen: str | None) -> AsyncIterator[ServerSentEvent]:
    shown: Preview | None = None
    async for now in gateway.jobs.watch(job.id, job.owner):
        if now.error is not None:
            yield _event("error", now, problem.details(now.error))
        elif now.is_finished:
            links = await gateway.assets.urls(base, [picture.asset for picture in now.pictures])
            yield _event("result", now, record(now, links))
        elif _id(now) != seen:
            progress = _progress(now)
            if now.preview is not None and now.preview is not shown:
                shown = now.preview
                progress |= _preview(shown)
            yield _event("progress", now, progress)


def _event(kind: str, job: Job, content: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(data=orjson.dumps(content).decode(), event=kind, id=_id(job), retry=RETRY_MS)


def _id(job: Job) -> str:
    return f"{job.attempts}-{job.status}-{job.step}"


def _progress(job: Job) -> dict[str, Any]:
    return {"id": job.id, "status": job.status, "step": job.step, "steps": job.steps, "eta_s": _eta_s(job)}


def _eta_s(job: Job) -> float | None:
    """Estimated seconds left, from the pace of the steps so far; None before the first step."""
    if job.status != Status.RUNNING or job.started_at is None or not job.step:
        return None
    gone = (datetime.now(UTC) - job.started_at).total_seconds()
    return round(max(0.0, gone / job.step * (job.steps - job.step)), 1)


def _preview(preview: Preview) -> dict[str, Any]:
    return {
        "preview": png_url(preview.content),
        "preview_of": preview.picture,
        "preview_step": preview.step,
    }
