"""The enterprise dialect: JSON of a hosted Stable Diffusion API; ControlNet at several versions' paths, and polling.

The key stands in the body, numbers may be text, and errors come with status 200 unless the deployment wants otherwise.
"""

import secrets
from collections import OrderedDict
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from families.limits import MOST_CONTROLS
from gateway import bodies, problem
from gateway.auth import bearer
from gateway.dialects import enterprise_answers as answers
from gateway.dialects import enterprise_meta
from gateway.dialects import enterprise_request as asking
from gateway.dialects.coercion import Fields, missing
from gateway.dialects.dialect import Submission, answering, asset_url, base_url, generate, json_example, renamed
from gateway.jobs import Job
from gateway.parts import Parts
from mesh.errors import InvalidInput, MeshError, NotFound

_E = "/api/v1/enterprise"
CONTROLNET_PATHS = {
    "enterprise": (
        f"{_E}/controlnet",
        f"{_E}/images/controlnet",
        f"{_E}/community/controlnet",
        f"{_E}/pony/controlnet",
    ),
    "public": (
        "/api/v5/controlnet",
        "/api/v6/controlnet",
        "/api/v6/images/controlnet",
        "/api/v7/images/controlnet",
    ),
}
# Requests of one version may be polled at another's path.
FETCH_PATHS = (
    f"{_E}/fetch",
    f"{_E}/images/fetch",
    f"{_E}/fetch_queue_image",
    "/api/v3/fetch",
    "/api/v4/dreambooth/fetch",
    "/api/v5/images/fetch",
    "/api/v6/images/fetch",
    "/api/v7/images/fetch",
)
_FETCH_URL = {"enterprise": f"{_E}/fetch", "public": "/api/v6/images/fetch"}
_POLL = {"key": "...", "request_id": 120539115}
# Fields of the canonical request -> the vendor's, for errors that come from further on.
_NAMES = {
    "model": "model_id",
    "steps": "num_inference_steps",
    "image": "init_image",
    "mask": "mask_image",
    "controls": "control_image",
    **{f"controls[{index}].kind": "controlnet_model" for index in range(MOST_CONTROLS)},
    **{f"controls[{index}].mask": "mask_image" for index in range(MOST_CONTROLS)},
    **{f"controls[{index}].weight": "controlnet_conditioning_scale" for index in range(MOST_CONTROLS)},
    **{f"controls[{index}].auto_hint": "auto_hint" for index in range(MOST_CONTROLS)},
    **{f"controls[{index}].text": "qrcode_text" for index in range(MOST_CONTROLS)},
}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Allow-Headers": "content-type, authorization, key",
    "Access-Control-Max-Age": "600",
}


class Enterprise:
    """The ControlNet endpoint and its polling.

    Args:
        parts: of the gateway.
    """

    name = "enterprise"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ids = _Ids(2 * (parts.settings.max_records + parts.settings.max_waiting))

    def routes(self) -> APIRouter:
        router = APIRouter(tags=["enterprise"])
        for path in (path for paths in CONTROLNET_PATHS.values() for path in paths):
            endpoint = answering(self, self._controlnet)
            router.add_api_route(path, endpoint, methods=["POST"], openapi_extra=json_example(asking.EXAMPLE))
            router.add_api_route(path, _preflight, methods=["OPTIONS"], include_in_schema=False)
        for path in (form for stem in FETCH_PATHS for form in (stem, stem + "/{id}")):
            endpoint = answering(self, self._fetch)
            router.add_api_route(path, endpoint, methods=["POST"], openapi_extra=json_example(_POLL))
            router.add_api_route(path, endpoint, methods=["GET"])
            router.add_api_route(path, _preflight, methods=["OPTIONS"], include_in_schema=False)
        return router

    async def parse(self, request: Request) -> Submission:
        sent = await self._body(request)
        owner = self._owner(request, sent)
        fields, tier = Fields(sent), _tier(request)
        settings, catalogue = self._parts.settings, self._parts.catalogue
        offer, default = await catalogue.offer(), await catalogue.default_model()
        reading = await asking.read(fields, tier, offer, settings, default, self._parts.pictures)
        # Reading the echo must not repeat the remarks about clamped numbers.
        meta = enterprise_meta.echo(Fields(sent), tier, reading)
        at_once = fields.flag("instant_response", False)
        return Submission(
            generation=reading.generation,
            owner=owner,
            hold_s=0.0 if at_once else settings.enterprise_hold_s,
            remarks=tuple(dict.fromkeys(fields.remarks)),
            echo={
                "meta": meta,
                "track_id": sent.get("track_id"),
                "base64": fields.flag("base64", False),
                "steering": reading.steering,
            },
        )

    async def render(self, request: Request, submission: Submission, job: Job) -> Response:
        number = self._ids.number(job.id, submission.echo["base64"])
        links = self._links(request, job, submission.echo["base64"])
        meta = submission.echo["meta"]
        if job.pictures:
            body = answers.success(job, number, links, submission.remarks, meta)
        elif job.is_finished:
            if isinstance(job.error, InvalidInput):
                steering = submission.echo["steering"]
                raise renamed(job.error, {f"controls[{index}].image": steering for index in range(MOST_CONTROLS)})
            return self._json(request, answers.failed(job, number), answers.status_of(job.error) if job.error else 500)
        else:
            url = f"{base_url(self._parts, request)}{_FETCH_URL[_tier(request)]}/{number}"
            body = answers.processing(job, number, links, url, submission.remarks, meta)
        if submission.echo["track_id"] is not None:
            body["track_id"] = submission.echo["track_id"]
        return self._json(request, body)

    def render_error(self, request: Request, error: MeshError) -> Response:
        error = renamed(error, _NAMES)
        headers = problem.retry_header(error)
        if isinstance(error, bodies.Malformed):
            # No request of the vendor's looks like this; its rule about status 200 does not reach so far.
            return _json(answers.error(error), error.status, headers)
        return self._json(request, answers.error(error), answers.status_of(error), headers)

    async def _controlnet(self, request: Request) -> Response:
        """Make pictures that follow a control; answers `processing` when they take longer than the hold."""
        return await generate(self._parts, self, request)

    async def _fetch(self, request: Request) -> Response:
        """The state of a request by its integer id, in the path or as `request_id`."""
        sent = await self._body(request) if request.method == "POST" else {}
        owner = self._owner(request, sent)
        asked = str(request.path_params.get("id") or sent.get("request_id") or sent.get("id") or "").strip()
        if not asked:
            raise missing("request_id")
        number, job_id, as_base64 = self._ids.find(asked)
        try:
            job = await self._parts.jobs.get(job_id, owner)
        except NotFound:
            raise NotFound("Request not found") from None
        return self._json(request, answers.polled(job, number, self._links(request, job, as_base64)))

    async def _body(self, request: Request) -> dict[str, Any]:
        body = await bodies.read(request, self._parts.settings.max_body_bytes)
        content_type = request.headers.get("content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded" and not body.lstrip().startswith(b"{"):
            return bodies.urlencoded(body)
        if kind == "multipart/form-data":
            return bodies.multipart(content_type, body)
        return bodies.json_object(body) if body.strip() else {}

    def _owner(self, request: Request, sent: dict[str, Any]) -> str:
        named = [sent.get("key"), request.headers.get("key"), bearer(request.headers.get("authorization"))]
        if request.method == "GET":
            named.append(request.query_params.get("key"))
        return self._parts.keys.owner(next((str(key) for key in named if key), None))

    def _links(self, request: Request, job: Job, as_base64: bool) -> list[str]:
        suffix = ".base64" if as_base64 else ""
        return [asset_url(self._parts, request, name) + suffix for name in job.assets]

    def _json(
        self, request: Request, body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None
    ) -> Response:
        telling = self._parts.settings.enterprise_status == "strict" or request.url.path.startswith("/api/v7/")
        return _json(body, status if telling else 200, headers)


class _Ids:
    """The vendor's integer ids for the generations that came through this dialect; the oldest are forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_number: OrderedDict[int, tuple[str, bool]] = OrderedDict()

    def number(self, job_id: str, as_base64: bool) -> int:
        """A new id of nine digits. It is no secret: the key's owner is checked, as everywhere."""
        number = 0
        while not number or number in self._by_number:
            number = 100_000_000 + secrets.randbelow(900_000_000)
        self._by_number[number] = (job_id, as_base64)
        while len(self._by_number) > self._most:
            self._by_number.popitem(last=False)
        return number

    def find(self, asked: str) -> tuple[int, str, bool]:
        """The id as a number, its generation, and whether its pictures go out as base64.

        Raises:
            NotFound: no such id.
        """
        number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 12 else 0
        if number not in self._by_number:
            raise NotFound("Request not found")
        return number, *self._by_number[number]


def _json(body: dict[str, Any], status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, {**_CORS, **(headers or {})}, "application/json")


def _tier(request: Request) -> str:
    return "enterprise" if request.url.path.startswith(_E) else "public"


async def _preflight() -> Response:
    """What a browser asks before it sends a request from another site."""
    return Response(status_code=204, headers=_CORS)
