"""The Scenario dialect's jobs: by id, in lists, cancelling.

They include the owner's jobs of other dialects: webhook endpoints are notified of those too, and their pictures are
among the assets.
"""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.dialects.scenario import answers, lists
from gateway.dialects.scenario.assets import asset_body
from gateway.dialects.scenario.fields import wrong
from gateway.dialects.scenario.job_view import told
from gateway.dialects.scenario.resource import Resource, Table
from gateway.jobs.job import Filter, Job, Status
from mesh.errors import NotFound

MOST_LISTED = 200
# The vendor's statuses -> the engine's; statuses that jobs never have here match no jobs.
_STATUSES = {spoken: (status,) for status, spoken in answers.STATUSES.items()}
_NEVER = ("pending", "warming-up", "finalizing")


class ScenarioJobs(Resource):
    """Routes of jobs."""

    def table(self) -> Table:
        return (
            ("GET", "/jobs", self._list),
            ("GET", "/jobs/{id}", self._show),
            ("POST", "/jobs/{id}/action", self._act),
        )

    async def _show(self, request: Request) -> Response:
        """A job; its pictures are assets once its status is success."""
        return await self._polled(request, await self._job(request))

    async def _list(self, request: Request) -> Response:
        """Your jobs, newest first."""
        owner, query = self._owner(request), request.query_params
        types, hidden = lists.words(request, "types", "type"), lists.flag(request, "hideResults")
        updated_after = lists.after(request, "updatedAfter")
        status = query.get("status")
        if status and status not in (*_STATUSES, *_NEVER):
            raise wrong("status", f"one of {', '.join((*_STATUSES, *_NEVER))}", status)
        which = Filter(
            statuses=_STATUSES.get(status or "", ()),
            created_after=lists.after(request, "createdAfter"),
        )
        size = lists.page_size(request, MOST_LISTED)
        others = query.get("authorId") not in (None, "", answers.author(owner)) or query.get("workflowId")
        if others or status in _NEVER:
            return answers.respond({"jobs": []})

        async def look(limit: int, token: str | None) -> tuple[Sequence[Job], str | None]:
            page = await self._gateway.jobs.page(owner, which, limit, token)
            return page.jobs, page.next

        def fits(job: Job) -> bool:
            return (
                (not types or told(job)["type"] in types)
                and (hidden is not False or not told(job)["hidden"])
                and (updated_after is None or answers.updated(job) > updated_after)
            )

        jobs, token = await lists.picked(look, fits, size, query.get("paginationToken") or None)
        body: dict[str, Any] = {"jobs": [answers.polled(job)["job"] for job in jobs]}
        return answers.respond(body | ({"nextPaginationToken": token} if token else {}))

    async def _act(self, request: Request) -> Response:
        """Cancel a job; a finished one is not changed."""
        job = await self._job(request)
        action = (await self._fields(request)).required("action")
        if action != "cancel":
            raise wrong("action", "cancel", action)
        if not job.is_finished:
            job = await self._gateway.jobs.cancel(job.id, job.owner)
        return await self._polled(request, job)

    async def _job(self, request: Request) -> Job:
        owner, asked = self._owner(request), request.path_params["id"]
        if found := answers.JOB_ID.fullmatch(asked):
            try:
                return await self._gateway.jobs.get(found[1], owner)
            except NotFound:
                pass
        raise NotFound(f"Job {asked[:80]} not found")

    async def _polled(self, request: Request, job: Job) -> Response:
        asset = None
        if job.status == Status.SUCCEEDED and len(job.pictures) == 1:
            try:
                record = await self._gateway.assets.record(job.pictures[0].asset, job.owner)
                asset = asset_body(self._gateway, request, record, job)
            except NotFound:
                # It was deleted, or has expired.
                pass
        return answers.respond(answers.polled(job, asset))
