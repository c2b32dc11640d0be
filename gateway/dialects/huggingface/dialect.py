"""The Hugging Face dialect: the API of a ControlNet handler on an Inference Endpoint, and of InferenceClient.

Sources: the published handler for Stable Diffusion 1.5 with ControlNet, huggingface-inference-toolkit's web server
(headers, serializers, errors are always 400), huggingface_hub's InferenceClient (`parameters`).
"""

from collections.abc import Mapping
from dataclasses import replace

import orjson
import pybase64
from fastapi import APIRouter
from prometheus_client import Gauge
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from families.limits import MOST_CONTROLS
from gateway.bootstrap import Gateway
from gateway.dialects.common import notes
from gateway.dialects.common.declared import Table
from gateway.dialects.common.dialect import Submission, answering, generate
from gateway.dialects.common.examples import Examples
from gateway.dialects.common.request import owner_of
from gateway.dialects.common.wording import note, renamed
from gateway.dialects.huggingface import request as asking
from gateway.dialects.huggingface.declared import FIELDS
from gateway.jobs.job import Job, Status
from gateway.web import problem
from gateway.web.accept import negotiate
from gateway.web.malformed import NoRoute
from gateway.web.pages import Refused
from mesh.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    MeshError,
    Overloaded,
    TooOften,
    Unauthenticated,
    Unavailable,
)

# Accept -> format requested from the mesh, and the format that it is converted to, if another.
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

_EXAMPLES = Examples("gateway.dialects.huggingface")

_RUNNING = Gauge("inf_batch_current_size", "Running generations, under the name that inference endpoints use.")
_QUEUED = Gauge("inf_queue_size", "Waiting generations, under the name that inference endpoints use.")


class HuggingFace:
    """The Hugging Face dialect, at the root and, for several endpoints on one host, under /hf/{endpoint_name}.

    Args:
        gateway: its parts.
        declared: the declared fields, by body.
    """

    name = "huggingface"

    def __init__(self, gateway: Gateway, declared: Mapping[str, Table] = FIELDS) -> None:
        self._gateway = gateway
        self._declared = declared
        _RUNNING.set_function(lambda: gateway.jobs.last_load()[0])
        _QUEUED.set_function(lambda: gateway.jobs.last_load()[1])

    def routes(self) -> APIRouter:
        router = APIRouter(tags=["Hugging Face"])
        shown = _EXAMPLES.request_body("POST", "/")
        for mount in ("", "/hf/{endpoint_name}"):
            for path in (mount or "/", f"{mount}/predict"):
                predict = answering(self, self._predict)
                router.add_api_route(path, predict, methods=["POST"], openapi_extra=shown)
            for path in (mount or "/", f"{mount}/health"):
                router.add_api_route(path, self._health, methods=["GET"])
        # At the root, /metrics has the same two gauges among all others.
        router.add_api_route("/hf/{endpoint_name}/metrics", answering(self, self._gauges), methods=["GET"])
        return router

    async def parse(self, request: Request) -> Submission:
        owner = owner_of(self._gateway, request)
        accept = negotiate(request.headers.get("accept"), OFFERED, _JSON)
        if accept is None:
            raise InvalidInput(f"Accept can't be served; supported: {', '.join(OFFERED)}, */*", field="Accept")
        reading = await asking.read(request, self._gateway, self._declared["predict"])
        format, _ = _PICTURES.get(accept, ("png", None))
        return Submission(
            generation=replace(reading.generation, format=format),
            owner=owner,
            # The original answers only when it is done; the queue has its own limit.
            hold_s=self._gateway.settings.deadline_s,
            remarks=reading.remarks,
            echo={"accept": accept, "steering": reading.steering},
        )

    async def render(self, request: Request, submission: Submission, job: Job) -> Response:
        if not job.is_finished:
            await self._gateway.jobs.cancel(job.id, job.owner)
            raise DeadlineExceeded("the picture was not done in time; ask for fewer steps or try again later")
        if job.error is not None:
            raise renamed(job.error, {"controls[0].image": submission.echo["steering"]})
        if job.status == Status.CANCELLED:
            raise Unavailable("the request was stopped; try again", retry_after_s=2)
        accept = submission.echo["accept"]
        content = (await self._gateway.assets.get(job.pictures[0].asset)).content
        steering = submission.echo["steering"]
        names = asking.NAMES | {f"controls[{index}]": steering for index in range(MOST_CONTROLS)}
        headers = notes.header([*submission.remarks, *(note(text, names) for text in job.notes)])
        if accept == _JSON:
            return Response(orjson.dumps(pybase64.b64encode_as_string(content)), 200, headers, _JSON)
        _, converted = _PICTURES[accept]
        if converted:
            content = await self._gateway.conversion.to(content, converted)
        return Response(content, 200, headers, _SENT_AS.get(accept, accept))

    def render_error(self, request: Request, error: MeshError) -> Response:
        error = renamed(error, asking.NAMES)
        status, text = 400, error.message
        if isinstance(error, Unauthenticated):
            status, text = 401, "Invalid or missing token"
        elif isinstance(error, Unavailable):
            status, text = 503, "Service Unavailable"
        elif isinstance(error, NoRoute | Refused):
            status = error.status
        elif isinstance(error, TooOften):
            status = 429
        elif isinstance(error, Forbidden):
            status = 403
        elif isinstance(error, Overloaded | DeadlineExceeded):
            status = 503
        headers = problem.retry_header(error)
        return Response(orjson.dumps({"error": text}), status, headers, _JSON)

    async def _predict(self, request: Request) -> Response:
        """Make a picture; the Accept header chooses between the file and JSON with its base64."""
        return await generate(self._gateway, self, request)

    async def _health(self) -> Response:
        """This process is running."""
        return PlainTextResponse("Ok")

    async def _gauges(self, request: Request) -> Response:
        """The numbers of running and waiting generations."""
        owner_of(self._gateway, request)
        running, waiting = self._gateway.jobs.last_load()
        return PlainTextResponse(f"inf_batch_current_size {running}\ninf_queue_size {waiting}\n")
