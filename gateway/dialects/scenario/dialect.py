"""The Scenario dialect: every request for pictures creates a job, which is polled; its pictures are assets.

Source: the vendor's guide to ControlNet, its reference, its SDKs. Our key is the secret of the vendor's pair of key and
secret: the password of Basic authorization, or the user name if there is no password. A Bearer token also works.
"""

from collections.abc import Mapping
from functools import wraps
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from gateway.bootstrap import Gateway
from gateway.dialects.common import notes
from gateway.dialects.common.declared import Table as Declared
from gateway.dialects.common.dialect import Handler, Submission, answering, generate
from gateway.dialects.common.request import json_of
from gateway.dialects.common.strict import Strict
from gateway.dialects.scenario import answers, queries
from gateway.dialects.scenario import detect as scenario_detect
from gateway.dialects.scenario import docs as scenario_docs
from gateway.dialects.scenario import modality as scenario_modality
from gateway.dialects.scenario import request as scenario_request
from gateway.dialects.scenario.assets import ScenarioAssets
from gateway.dialects.scenario.declared import CONTROL_PICTURES, FIELDS, MASKS
from gateway.dialects.scenario.errors import spoken
from gateway.dialects.scenario.fields import PHRASES
from gateway.dialects.scenario.job_view import NAME
from gateway.dialects.scenario.jobs import ScenarioJobs
from gateway.dialects.scenario.models import ScenarioModels
from gateway.dialects.scenario.pictures import Reader, first
from gateway.dialects.scenario.resource import Table, is_dry
from gateway.dialects.scenario.routes import CUSTOM, DETECT, DETECTION, NOT_ENABLED, PREFIX, ROUTES, of_parts
from gateway.dialects.scenario.uploads import ScenarioUploads
from gateway.dialects.scenario.webhooks import ScenarioWebhooks
from gateway.generation.generation import Generation, Task
from gateway.jobs.job import Job
from gateway.web.authorization import basic, bearer
from mesh.errors import MeshError, NotEnabled, NotFound

_GENERATE = f"{PREFIX}/generate"
_FLUX = ("flux", "model_bfl-flux")


class Scenario:
    """The Scenario dialect: pictures, and the routes of its other resources.

    Args:
        gateway: its parts.
        declared: the declared fields, by method and path after the version.
    """

    name = NAME

    def __init__(self, gateway: Gateway, declared: Mapping[tuple[str, str], Declared] = FIELDS) -> None:
        self._gateway = gateway
        self._declared = declared

    def routes(self) -> APIRouter:
        router = APIRouter(tags=["scenario"])
        paths = (*ROUTES, DETECT, f"{CUSTOM}/{{model_id}}")
        table: Table = tuple(("POST", f"/generate/{path}", self._generate) for path in paths)
        for resource in (ScenarioJobs, ScenarioAssets, ScenarioUploads, ScenarioModels, ScenarioWebhooks):
            of_resource = resource(self._gateway, self.owner, self.fields).table()
            table += tuple((method, path, _telling(handler)) for method, path, handler in of_resource)
        for method, path, handler in table:
            shown = scenario_docs.options(method, path)
            router.add_api_route(f"{PREFIX}{path}", answering(self, handler), methods=[method], **shown)
        other = answering(self, self._other)
        router.add_api_route(f"{_GENERATE}/{{tool:path}}", other, methods=["POST"], include_in_schema=False)
        return router

    def owner(self, request: Request) -> str:
        """The owner of the request's key."""
        header = request.headers.get("authorization")
        user, password = basic(header) or ("", "")
        return self._gateway.keys.owner(password or user or bearer(header))

    async def fields(self, request: Request) -> Strict:
        """The fields of the body.

        Raises:
            Malformed: it is not a JSON object.
        """
        route: APIRoute = request.scope["route"]
        declared = self._declared[request.method, route.path.removeprefix(PREFIX)]
        fields = request.state.fields = Strict(await json_of(self._gateway, request), declared, PHRASES)
        return fields

    async def parse(self, request: Request) -> Submission:
        owner = self.owner(request)
        fields = await self.fields(request)
        pictures = Reader(self._gateway, owner, keeping=not is_dry(request))
        generation, told = await self._read(request, fields, pictures)
        fields.remarks.extend((*fields.unknown(), *queries.unknown(request)))
        return Submission(
            generation=generation,
            task=Task.HINT if told["route"] == DETECT else Task.PICTURES,
            owner=owner,
            hold_s=0,
            remarks=tuple(dict.fromkeys(fields.remarks)),
            echo={
                **told,
                "input": fields.echo(),
                "remarks": list(dict.fromkeys(fields.remarks)),
                "project": answers.project(request, owner),
                "hidden": fields.flag("hideResults"),
            },
        )

    async def render(self, request: Request, submission: Submission, job: Job) -> Response:
        return answers.respond(answers.submitted(job))

    def render_error(self, request: Request, error: MeshError) -> Response:
        return answers.refuse(spoken(error))

    async def _generate(self, request: Request) -> Response:
        """Create a job; with `dryRun` in the query, return its price only."""
        if is_dry(request):
            submission = await self.parse(request)
            await self._gateway.catalogue.resolve(submission.generation, submission.task)
            return answers.respond(answers.COST, answers.DRY_RUN, notes.header(submission.remarks))
        return await generate(self._gateway, self, request)

    async def _other(self, request: Request) -> Response:
        """Tools that are not enabled here, and unknown paths."""
        self.owner(request)
        tool = request.path_params["tool"]
        if tool in NOT_ENABLED:
            raise NotEnabled(f"{tool} is not enabled on this server")
        raise NotFound(f"there is no generation called {tool[:80]}")

    async def _read(self, request: Request, fields: Strict, pictures: Reader) -> tuple[Generation, dict[str, Any]]:
        """The canonical request, and what to record about its route."""
        offer = await self._gateway.catalogue.offer()
        path = request.url.path.removeprefix(f"{_GENERATE}/")
        if path == DETECT:
            generation = await scenario_detect.read(fields, offer, pictures)
            kinds = dict.fromkeys(("type", "submitted_type", "asset_type", "source"), DETECTION)
            return generation, {"route": DETECT, "model": "", "steering": "image", **kinds}
        named = request.path_params.get("model_id")
        asked = named if named is not None else fields.required("modelId")
        settings, default = self._gateway.settings, await self._gateway.catalogue.default_model()
        name = scenario_request.model(fields, asked, offer, settings, default)
        if named is not None:
            dialled = scenario_request.newer(fields)
            controlled = any(fields.raw(field) for field in (*CONTROL_PICTURES, dialled.modality))
            starts, masked = (first(fields, *names) is not None for names in (("image", "imageId"), MASKS))
            route = of_parts(controlled, starts, masked)
        else:
            dialled, route = scenario_request.OLD, ROUTES[path]
        generation = await scenario_request.read(fields, route, dialled, name, offer, pictures)
        flux = scenario_modality.family_of(offer, name).takes_maps or asked.lower().startswith(_FLUX)
        return generation, {
            "route": route.name if named is None else CUSTOM,
            "model": asked,
            "steering": scenario_request.steering_of(fields, route),
            "type": CUSTOM if named is not None else "flux" if flux else "inference",
            "submitted_type": CUSTOM if named is not None else route.submitted_type,
            "asset_type": route.asset_type,
            "source": route.source,
        }


def _telling(handler: Handler) -> Handler:
    """`handler`, whose answers have no place for remarks, with a header that names the unknown fields of the body and
    the unknown parameters of the query."""

    @wraps(handler)
    async def told(request: Request) -> Response:
        response = await handler(request)
        fields = getattr(request.state, "fields", None)
        of_body = () if fields is None else fields.unknown()
        response.headers.update(notes.header((*of_body, *queries.unknown(request))))
        return response

    return told
