"""The gateway's own API: strict JSON, records of generations, progress as server-sent events, RFC 9457 errors."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import orjson
from fastapi import APIRouter
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from families.limits import MOST_CONTROLS, Range
from gateway import bodies, problem
from gateway.auth import bearer
from gateway.dialects import native_docs as docs
from gateway.dialects import native_lists as lists
from gateway.dialects import native_models as models
from gateway.dialects.dialect import Submission, answering, asset_url, generate
from gateway.dialects.native_hints import NativeHints
from gateway.dialects.native_json import given, png_url, refuse_unknown, respond
from gateway.dialects.native_record import PICTURES, record
from gateway.fields import identifier, number, wrong
from gateway.generation import Control, Generation
from gateway.jobs import Job
from gateway.parts import Parts
from gateway.pipeline import Preview
from mesh.errors import InvalidInput, MeshError

PREFIX = "/controlmesh/v1"
WAIT = Range(0, 300)
WAIT_DEFAULT_S = 60.0
_HEARTBEAT_S = 10

_FIELDS = frozenset(models.GenerationBody.model_fields)
_CONTROL_FIELDS = frozenset(models.ControlBody.model_fields)


class Native:
    """The dialect that says everything the mesh can do.

    Args:
        parts: of the gateway.
    """

    name = "native"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> APIRouter:
        router = APIRouter(prefix=PREFIX, tags=["generations"])
        wait: dict[str, Any] = {
            "name": "wait",
            "in": "query",
            "description": "Seconds to hold the answer for the pictures.",
            "schema": {"type": "number", "minimum": 0, "maximum": 300, "default": WAIT_DEFAULT_S},
        }
        of_model: dict[str, Any] = {
            "name": "model",
            "in": "query",
            "description": "Only the kinds that this loaded model has a ControlNet for; left out: all kinds.",
            "schema": {"type": "string"},
        }
        for path, handler, method, options in (
            ("/generations", self._create, "POST", docs.documented(docs.GENERATION_REQUEST, wait, held=True)),
            ("/generations/{id}", self._show, "GET", docs.documented()),
            ("/generations/{id}", self._cancel, "DELETE", docs.documented()),
            ("/generations/{id}/events", self._events, "GET", docs.documented(events=True)),
            ("/hints", NativeHints(self._parts).make, "POST", docs.HINTS),
            ("/models", self._models, "GET", docs.documented(answer=lists.ModelList)),
            ("/controls", self._controls, "GET", docs.documented(None, of_model, answer=lists.ControlList)),
            ("/schedulers", self._schedulers, "GET", docs.documented(answer=lists.SchedulerList)),
            ("/styles", self._styles, "GET", docs.documented(answer=lists.StyleList)),
        ):
            router.add_api_route(path, answering(self, handler), methods=[method], **options)
        return router

    async def parse(self, request: Request) -> Submission:
        owner = self._owner(request)
        body = bodies.json_object(await bodies.read(request, self._parts.settings.max_body_bytes))
        refuse_unknown(body, _FIELDS)
        sent = given(body)
        if "prompt" not in sent and sent.get("guess_mode") is not True:
            raise InvalidInput(
                "prompt is missing; say what the picture should show, or let the controls lead with guess_mode true",
                field="prompt",
            )
        # Numbers and words first: they cost nothing, pictures may have to be fetched.
        outline = _outline(sent)
        complete = await self._with_pictures(outline, sent)
        return Submission(generation=complete, owner=owner, hold_s=_wait(request))

    async def render(self, request: Request, submission: Submission, job: Job) -> Response:
        headers = {"Location": f"{PREFIX}/generations/{job.id}"}
        if job.error is not None:
            failed = self.render_error(request, job.error)
            failed.headers.update(headers)
            return failed
        return respond(self._record(request, job), 200 if job.is_finished else 202, headers)

    def render_error(self, request: Request, error: MeshError) -> Response:
        return problem.respond(error)

    async def _create(self, request: Request) -> Response:
        """Make pictures; answers when they are done or after `wait` seconds."""
        return await generate(self._parts, self, request)

    async def _show(self, request: Request) -> Response:
        """The record of a generation."""
        job = await self._parts.jobs.get(request.path_params["id"], self._owner(request))
        return respond(self._record(request, job))

    async def _cancel(self, request: Request) -> Response:
        """Stop a generation; one that is finished stays as it is."""
        job = await self._parts.jobs.cancel(request.path_params["id"], self._owner(request))
        return respond(self._record(request, job))

    async def _events(self, request: Request) -> Response:
        """Progress as server-sent events, with previews where they were asked for, then `result` or `error`."""
        owner = self._owner(request)
        job = await self._parts.jobs.get(request.path_params["id"], owner)

        async def events() -> AsyncIterator[ServerSentEvent]:
            shown: Preview | None = None
            async for now in self._parts.jobs.watch(job.id, owner):
                if not now.is_finished:
                    progress = {"id": now.id, "status": now.status, "step": now.step, "steps": now.steps}
                    if now.preview is not None and now.preview is not shown:
                        shown = now.preview
                        progress |= _preview(shown)
                    yield _event("progress", progress)
                elif now.error is not None:
                    yield _event("error", problem.details(now.error))
                else:
                    yield _event("result", self._record(request, now))

        return EventSourceResponse(events(), ping=_HEARTBEAT_S)

    async def _models(self, request: Request) -> Response:
        """The loaded models."""
        self._owner(request)
        offer = await self._parts.catalogue.offer()
        default = await self._parts.catalogue.default_model()
        return respond({"models": [_plain(model) for model in offer.models], "default": default})

    async def _controls(self, request: Request) -> Response:
        """The control kinds, their parameters, and the models that have them."""
        self._owner(request)
        model = request.query_params.get("model")
        if model is not None:
            identifier("model", model)
        offer = await self._parts.catalogue.offer()
        controls = offer.controls if model is None else offer.controls_of(model)
        return respond({"controls": [_plain(control) for control in controls]})

    async def _styles(self, request: Request) -> Response:
        """The styles that a prompt can be enhanced with, and their words."""
        self._owner(request)
        offer = await self._parts.catalogue.offer()
        return respond({"styles": [_plain(style) for style in offer.styles]})

    async def _schedulers(self, request: Request) -> Response:
        """The schedulers and the options that each takes."""
        self._owner(request)
        offer = await self._parts.catalogue.offer()
        return respond({"schedulers": [_plain(scheduler) for scheduler in offer.schedulers]})

    def _owner(self, request: Request) -> str:
        return self._parts.keys.owner(bearer(request.headers.get("authorization")))

    async def _with_pictures(self, outline: Generation, sent: Mapping[str, Any]) -> Generation:
        """`outline` with the pictures that `sent` holds or names."""
        controls = [
            replace(control, **await self._pictures(body, f"controls[{index}]."))
            for index, (control, body) in enumerate(zip(outline.controls, sent.get("controls", ()), strict=True))
        ]
        return replace(outline, **await self._pictures(sent), controls=tuple(controls))

    async def _pictures(self, sent: Mapping[str, Any], at: str = "") -> dict[str, Any]:
        read = self._parts.pictures.read
        return {name: await read(sent[name], f"{at}{name}") for name in PICTURES if sent.get(name) is not None}

    def _record(self, request: Request, job: Job) -> dict[str, Any]:
        return record(job, [asset_url(self._parts, request, picture.asset) for picture in job.pictures])


def _outline(sent: Mapping[str, Any]) -> Generation:
    """All that was sent, checked; b"" in place of every picture."""
    controls = sent.get("controls", [])
    if not isinstance(controls, list) or len(controls) > MOST_CONTROLS:
        raise wrong("controls", f"a list of at most {MOST_CONTROLS}", controls)
    steering = tuple(_control(index, control) for index, control in enumerate(controls))
    return Generation(**{"prompt": "", **_apart(sent), "controls": steering})


def _control(index: int, body: object) -> Control:
    at = f"controls[{index}]"
    if not isinstance(body, dict):
        raise wrong(at, "an object", body)
    refuse_unknown(body, _CONTROL_FIELDS, at)
    sent = given(body)
    if "kind" not in sent:
        raise InvalidInput(f"{at}.kind is missing; name the control, such as canny", field=f"{at}.kind")
    return Control(**_apart(sent))


def _apart(sent: Mapping[str, Any]) -> dict[str, Any]:
    return {name: b"" if name in PICTURES else value for name, value in sent.items()}


def _preview(preview: Preview) -> dict[str, Any]:
    return {
        "preview": png_url(preview.content),
        "preview_of": preview.picture,
        "preview_step": preview.step,
    }


def _wait(request: Request) -> float:
    sent = request.query_params.get("wait")
    if sent is None:
        return WAIT_DEFAULT_S
    try:
        wait = float(sent)
    except ValueError:
        raise wrong("wait", "a number from 0 to 300", sent) from None
    number(WAIT)("wait", wait)
    return wait


def _plain(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _event(kind: str, content: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(data=orjson.dumps(content).decode(), event=kind)
