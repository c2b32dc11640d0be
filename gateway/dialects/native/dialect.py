"""The gateway's own API: strict JSON, records of generations, progress as server-sent events, RFC 9457 errors."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.bootstrap import Gateway
from gateway.dialects.common.dialect import Submission, answering, base_url, generate
from gateway.dialects.common.request import json_of, owner_of
from gateway.dialects.native import events as native_events
from gateway.dialects.native.assets import NativeAssets, picture
from gateway.dialects.native.body import next_link, respond
from gateway.dialects.native.catalogue import NativeOffer
from gateway.dialects.native.docs import routes as docs
from gateway.dialects.native.endpoints import NativeEndpoints
from gateway.dialects.native.hints import NativeHints
from gateway.dialects.native.queries import refusing_unknown
from gateway.dialects.native.record import PICTURES, record
from gateway.dialects.native.request import asked, limit, waiting, which
from gateway.dialects.native.webhooks import NAME
from gateway.generation.generation import Generation
from gateway.jobs.bounds import job_id
from gateway.jobs.job import Job
from gateway.web import problem
from mesh.errors import MeshError

PREFIX = "/controlmesh/v1"
_OPEN = ("/problems", "/problems/{name}")
"""Routes that need no key."""


class Native:
    """The native dialect, which covers everything the mesh can do.

    Args:
        gateway: its parts.
    """

    name = NAME

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def routes(self) -> APIRouter:
        router = APIRouter(prefix=PREFIX)
        assets, offer = NativeAssets(self._gateway), NativeOffer(self._gateway)
        endpoints = NativeEndpoints(self._gateway)
        for tag, routes in (
            (
                "generations",
                (
                    ("/generations", self._create, "POST", docs.CREATE),
                    ("/generations", self._list, "GET", docs.LIST),
                    ("/generations/{id}", self._show, "GET", docs.SHOW),
                    ("/generations/{id}", self._cancel, "DELETE", docs.CANCEL),
                    ("/generations/{id}/events", self._events, "GET", docs.EVENTS),
                ),
            ),
            ("hints", (("/hints", NativeHints(self._gateway).make, "POST", docs.HINTS),)),
            (
                "assets",
                (
                    ("/assets", assets.keep, "POST", docs.KEEP),
                    ("/assets", assets.page, "GET", docs.ASSETS),
                    ("/assets/{id}/record", assets.show, "GET", docs.ASSET),
                    ("/assets/{id}", assets.drop, "DELETE", docs.DROP),
                ),
            ),
            (
                "webhooks",
                (
                    ("/webhook-endpoints", endpoints.create, "POST", docs.CREATE_ENDPOINT),
                    ("/webhook-endpoints", endpoints.list, "GET", docs.ENDPOINTS),
                    ("/webhook-endpoints/{id}", endpoints.show, "GET", docs.ENDPOINT),
                    ("/webhook-endpoints/{id}", endpoints.change, "PATCH", docs.CHANGE_ENDPOINT),
                    ("/webhook-endpoints/{id}", endpoints.drop, "DELETE", docs.DROP_ENDPOINT),
                    ("/webhook-secret", endpoints.secret, "GET", docs.SECRET),
                ),
            ),
            (
                "catalogue",
                (
                    ("/models", offer.models, "GET", docs.MODELS),
                    ("/controls", offer.controls, "GET", docs.CONTROLS),
                    ("/schedulers", offer.schedulers, "GET", docs.SCHEDULERS),
                    ("/styles", offer.styles, "GET", docs.STYLES),
                    ("/problems", offer.problems, "GET", docs.PROBLEMS),
                    ("/problems/{name}", offer.problem, "GET", docs.PROBLEM),
                ),
            ),
        ):
            for path, handler, method, options in routes:
                owner = None if path in _OPEN else self._owner
                answer = answering(self, refusing_unknown(handler, options, owner))
                router.add_api_route(path, answer, methods=[method], tags=[tag], **options)
        return router

    async def parse(self, request: Request) -> Submission:
        owner = self._owner(request)
        body = await json_of(self._gateway, request)
        # Check numbers and text first: they are cheap, while pictures may have to be fetched.
        want, hold = asked(body), waiting(request)
        handling = dict(want.handling)
        if "webhook" in handling:
            handling["webhook"] = await self._gateway.webhooks.named(handling["webhook"], "webhook")
        complete = await self._with_pictures(want.outline, want.sent, owner)
        return Submission(generation=complete, owner=owner, hold_s=hold.seconds, **handling)

    async def render(self, request: Request, submission: Submission, job: Job) -> Response:
        headers = {"Location": f"{PREFIX}/generations/{job.id}"}
        if applied := waiting(request).applied:
            headers["Preference-Applied"] = applied
        if job.error is not None:
            failed = self.render_error(request, job.error)
            failed.headers.update(headers)
            return failed
        return respond(await self._record(request, job), 200 if job.is_finished else 202, headers)

    def render_error(self, request: Request, error: MeshError) -> Response:
        return problem.respond(error)

    async def _create(self, request: Request) -> Response:
        """Make pictures. Answers when they are done, or after `wait` seconds."""
        return await generate(self._gateway, self, request)

    async def _list(self, request: Request) -> Response:
        """Your generations, newest first, from all APIs."""
        owner = self._owner(request)
        page = await self._gateway.jobs.page(owner, which(request), limit(request), request.query_params.get("after"))
        links = iter(await self._links(request, *page.jobs))
        records = [record(job, [next(links) for _ in job.pictures]) for job in page.jobs]
        return respond({"generations": records, "next": page.next}, headers=next_link(request, page.next))

    async def _show(self, request: Request) -> Response:
        """The record of a generation, with its webhook deliveries."""
        job = await self._gateway.jobs.get(_id(request), self._owner(request))
        deliveries = await self._gateway.webhooks.of_job(job.id)
        return respond(record(job, await self._links(request, job), deliveries))

    async def _cancel(self, request: Request) -> Response:
        """Cancel a generation; a finished one is not changed."""
        job = await self._gateway.jobs.cancel(_id(request), self._owner(request))
        return respond(await self._record(request, job))

    async def _events(self, request: Request) -> Response:
        """Progress as server-sent events, with previews if requested, then `result` or `error`."""
        job = await self._gateway.jobs.get(_id(request), self._owner(request))
        return native_events.respond(self._gateway, request, job, base_url(self._gateway, request))

    def _owner(self, request: Request) -> str:
        return owner_of(self._gateway, request)

    async def _with_pictures(self, outline: Generation, sent: Mapping[str, Any], owner: str) -> Generation:
        """`outline` with the pictures that `sent` holds or refers to."""
        controls = [
            replace(control, **await self._pictures(body, owner, f"controls[{index}]."))
            for index, (control, body) in enumerate(zip(outline.controls, sent.get("controls", ()), strict=True))
        ]
        return replace(outline, **await self._pictures(sent, owner), controls=tuple(controls))

    async def _pictures(self, sent: Mapping[str, Any], owner: str, at: str = "") -> dict[str, Any]:
        return {
            name: await picture(self._gateway, sent[name], f"{at}{name}", owner)
            for name in PICTURES
            if sent.get(name) is not None
        }

    async def _record(self, request: Request, job: Job) -> dict[str, Any]:
        return record(job, await self._links(request, job))

    async def _links(self, request: Request, *jobs: Job) -> list[str]:
        names = [picture.asset for job in jobs for picture in job.pictures]
        return await self._gateway.assets.urls(base_url(self._gateway, request), names)


def _id(request: Request) -> str:
    """The id in the path; NotFound."""
    return job_id(request.path_params["id"])
