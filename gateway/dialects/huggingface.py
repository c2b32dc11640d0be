"""The Hugging Face dialect: the JSON of a ControlNet handler on an Inference Endpoint, and of InferenceClient.

Sources: the published handler for Stable Diffusion 1.5 with ControlNet, huggingface-inference-toolkit's web server
(headers, serializers, errors are always 400), huggingface_hub's InferenceClient (`parameters`).
"""

import asyncio
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pybase64
from fastapi import APIRouter
from PIL import Image
from prometheus_client import Gauge
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from families.limits import GUIDANCE
from gateway import bodies, problem
from gateway.accept import negotiate
from gateway.auth import bearer
from gateway.catalogue import Offer
from gateway.dialects.dialect import Submission, answering, generate, json_example, renamed
from gateway.generation import Control, Generation
from gateway.jobs import Job, Status
from gateway.parts import Parts
from mesh.errors import DeadlineExceeded, InvalidInput, MeshError, Overloaded, Unauthenticated, Unavailable
from mesh.pictures import check, decode

STEPS = 30
# The published handler drew all its noise from one generator with this seed; here every call starts with it.
SEED = 3
CONTROL_TYPE = "normal"

# The handler's names -> kinds of the mesh, then other spellings. The article that made the handler known says "though".
CONTROL_TYPES = {
    "canny_edge": "canny",
    "pose": "openpose",
    "depth": "depth",
    "scribble": "scribble",
    "segmentation": "segmentation",
    "normal": "normal",
    "hed": "hed",
    "hough": "mlsd",
}
ALIASES = {
    "though": "mlsd",
    "canny": "canny",
    "openpose": "openpose",
    "seg": "segmentation",
    "mlsd": "mlsd",
    "softedge": "hed",
    "lineart": "lineart",
}

# Accept -> format asked of the mesh and the format that Pillow then makes of it, where that is another.
_PICTURES: dict[str, tuple[str, str | None]] = {
    "image/png": ("png", None),
    "image/jpeg": ("jpeg", None),
    "image/webp": ("webp", None),
    "image/bmp": ("png", "BMP"),
    "image/tiff": ("png", "TIFF"),
    "image/gif": ("png", "GIF"),
    "image/jpg": ("jpeg", None),
    "image/x-image": ("png", None),
}
_SENT_AS = {"image/jpg": "image/jpeg", "image/x-image": "image/png"}
_JSON = "application/json"
OFFERED = (*_PICTURES, _JSON)

# Parameter -> field of the canonical request, and how text from the URL becomes its value.
_PARAMETERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "negative_prompt": ("negative_prompt", str),
    "num_inference_steps": ("steps", int),
    "guidance_scale": ("guidance_scale", float),
    "height": ("height", int),
    "width": ("width", int),
    "seed": ("seed", int),
    "scheduler": ("scheduler", str),
}
_WEIGHT = "controlnet_conditioning_scale"
_NAMES = {field: name for name, (field, _) in _PARAMETERS.items()} | {
    "prompt": "inputs",
    "controls[0].image": "image",
    "controls[0].weight": _WEIGHT,
    "controls[0].kind": "controlnet_type",
}
_EXAMPLE = {
    "inputs": "a red circle on a white background",
    "negative_prompt": None,
    "controlnet_type": "canny_edge",
    "image": "iVBORw0KGgo...",
    "num_inference_steps": 20,
    "guidance_scale": 7.5,
    "controlnet_conditioning_scale": 1.0,
}
# How the base64 of PNG, JPEG and WebP begins.
_PICTURE_STARTS = ("iVBORw0KGgo", "/9j/", "UklGR", "data:image/")

_RUNNING = Gauge("inf_batch_current_size", "Generations being made, by the name that inference endpoints give it.")
_QUEUED = Gauge("inf_queue_size", "Generations waiting, by the name that inference endpoints give it.")


@dataclass(frozen=True)
class _Payload:
    """A request's prompt, its picture if it has one, and all its fields by the client's names."""

    prompt: str | None
    picture: bytes | None
    asked: Mapping[str, Any]


class HuggingFace:
    """The dialect at the root and, for several endpoints on one host, under /hf/{endpoint_name}.

    Args:
        parts: of the gateway.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        _RUNNING.set_function(lambda: parts.jobs.load()[0])
        _QUEUED.set_function(lambda: parts.jobs.load()[1])

    def routes(self) -> APIRouter:
        router = APIRouter(tags=["Hugging Face"])
        for mount in ("", "/hf/{endpoint_name}"):
            for path in (mount or "/", f"{mount}/predict"):
                predict = answering(self, self._predict)
                router.add_api_route(path, predict, methods=["POST"], openapi_extra=json_example(_EXAMPLE))
            for path in (mount or "/", f"{mount}/health"):
                router.add_api_route(path, self._health, methods=["GET"])
        # At the root the same two gauges stand among all other metrics.
        router.add_api_route("/hf/{endpoint_name}/metrics", self._gauges, methods=["GET"])
        return router

    async def parse(self, request: Request) -> Submission:
        owner = self._parts.keys.owner(bearer(request.headers.get("authorization")))
        accept = negotiate(request.headers.get("accept"), OFFERED, _JSON)
        if accept is None:
            raise InvalidInput(f"Accept can't be served; supported: {', '.join(OFFERED)}, */*", field="Accept")
        generation = await self._generation(request, await self._payload(request))
        format, _ = _PICTURES.get(accept, ("png", None))
        return Submission(
            generation=Generation(**{**vars(generation), "format": format}),
            owner=owner,
            # The original never answers before it is done; the queue in front of the work has its own bound.
            hold_s=self._parts.settings.deadline_s,
            echo={"accept": accept},
        )

    async def render(self, request: Request, submission: Submission, job: Job) -> Response:
        if not job.is_finished:
            await self._parts.jobs.cancel(job.id, job.owner)
            raise DeadlineExceeded("the picture was not done in time; ask for fewer steps or try again later")
        if job.error is not None:
            raise job.error
        if job.status == Status.CANCELLED:
            raise Unavailable("the request was stopped; try again", retry_after_s=2)
        accept = submission.echo["accept"]
        content = (await self._parts.assets.get(job.pictures[0].asset)).content
        if accept == _JSON:
            return Response(orjson.dumps(pybase64.b64encode_as_string(content)), media_type=_JSON)
        _, converted = _PICTURES[accept]
        if converted:
            content = await asyncio.to_thread(_convert, content, converted)
        return Response(content, media_type=_SENT_AS.get(accept, accept))

    def render_error(self, request: Request, error: MeshError) -> Response:
        error = renamed(error, _NAMES)
        status, text = 400, error.message
        if isinstance(error, Unauthenticated):
            status, text = 401, "Invalid or missing token"
        elif isinstance(error, Unavailable):
            status, text = 503, "Service Unavailable"
        elif isinstance(error, Overloaded | DeadlineExceeded):
            status = 503
        headers = problem.retry_header(error)
        return Response(orjson.dumps({"error": text}), status, headers, _JSON)

    async def _predict(self, request: Request) -> Response:
        """Make one picture; the Accept header chooses between the picture and JSON with its base64."""
        return await generate(self._parts, self, request)

    async def _health(self) -> Response:
        """This process runs."""
        return PlainTextResponse("Ok")

    async def _gauges(self) -> Response:
        """How much is being made and how much waits."""
        running, waiting = self._parts.jobs.load()
        return PlainTextResponse(f"inf_batch_current_size {running}\ninf_queue_size {waiting}\n")

    async def _payload(self, request: Request) -> _Payload:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await bodies.read(request, self._parts.settings.max_body_bytes)
        if content_type.startswith("image/"):
            check(body, field="inputs")
            query = _from_query(request)
            return _Payload(query.get("prompt", ""), body, query)
        if content_type != _JSON:
            raise InvalidInput(
                f"Content-Type {content_type[:80]!r} is not supported; send {_JSON} or an image type",
                field="Content-Type",
            )
        sent = bodies.json_object(body)
        if "inputs" not in sent:
            raise InvalidInput("Body needs to provide a inputs key", field="inputs")
        parameters = sent.get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise InvalidInput("parameters must be an object", field="parameters")
        asked = {**sent, **(_from_query(request) if parameters is None else parameters)}
        inputs, image = sent["inputs"], asked.get("image")
        if image is None and isinstance(inputs, str) and len(inputs) > 64 and inputs.startswith(_PICTURE_STARTS):
            # InferenceClient.image_to_image puts the picture there and the prompt among the parameters.
            inputs, image = asked.get("prompt") or "", inputs
        if image is not None:
            return _Payload(inputs, await self._parts.pictures.read(image, "image"), asked)
        if inputs is None:
            raise InvalidInput("Please provide a prompt and base64 encoded image.")
        # InferenceClient.text_to_image asks with `parameters` for a picture that nothing steers.
        if parameters is None or asked.get("controlnet_type") is not None:
            raise InvalidInput("image is missing; send the base64 of a PNG, JPEG or WebP picture", field="image")
        return _Payload(inputs, None, asked)

    async def _generation(self, request: Request, payload: _Payload) -> Generation:
        asked, picture = payload.asked, payload.picture
        wanted = {field: asked[name] for name, (field, _) in _PARAMETERS.items() if asked.get(name) is not None}
        target = asked.get("target_size")
        if isinstance(target, dict):
            wanted |= {side: target[side] for side in ("width", "height") if target.get(side) is not None}
        guidance = wanted.get("guidance_scale")
        if isinstance(guidance, int | float) and guidance < GUIDANCE.minimum:
            # To diffusers everything up to 1 means the same: no guidance.
            wanted["guidance_scale"] = GUIDANCE.minimum
        offer = await self._parts.catalogue.offer()
        model = self._model(request, offer)
        controls: tuple[Control, ...] = ()
        if picture is not None:
            kind = _kind(asked.get("controlnet_type"), offer, model or await self._parts.catalogue.default_model())
            weight = asked.get(_WEIGHT)
            controls = (Control(kind=kind, image=picture, weight=1.0 if weight is None else weight),)
        defaults = {"steps": STEPS, "seed": SEED}
        return Generation(prompt=payload.prompt or "", model=model, controls=controls, **{**defaults, **wanted})

    def _model(self, request: Request, offer: Offer) -> str | None:
        """The model that the endpoint's name stands for; any other name is the default model's."""
        name = request.path_params.get("endpoint_name", "")
        return next(
            (known for known in (name, self._parts.settings.aliases().get(name)) if known and offer.model(known)), None
        )


def _kind(sent: object, offer: Offer, model: str) -> str:
    known = CONTROL_TYPES | ALIASES
    name = CONTROL_TYPE if sent is None else sent
    usable = offer.extractable(model)
    available = ", ".join(name for name, kind in CONTROL_TYPES.items() if kind in usable) or "none"
    if not isinstance(name, str) or name not in known:
        raise InvalidInput(
            f"controlnet_type {str(name)[:80]!r} is unknown; known: {', '.join(CONTROL_TYPES)}; "
            f"available here: {available}",
            field="controlnet_type",
        )
    if known[name] not in usable:
        raise InvalidInput(
            f"controlnet_type {name!r} is not available here; available: {available}", field="controlnet_type"
        )
    return known[name]


def _from_query(request: Request) -> dict[str, Any]:
    """Query parameters, which are text, as the values that JSON would have had."""
    values: dict[str, Any] = dict(request.query_params)
    readings = {name: reading for name, (_, reading) in _PARAMETERS.items()} | {_WEIGHT: float}
    for name, reading in readings.items():
        if name in values:
            try:
                values[name] = reading(values[name])
            except ValueError:
                raise InvalidInput(f"{name} must be a number, not {values[name][:80]!r}", field=name) from None
    return values


def _convert(content: bytes, format: str) -> bytes:
    """One of the mesh's own PNG pictures in another format."""
    out = io.BytesIO()
    Image.fromarray(decode(content)).save(out, format)
    return out.getvalue()
