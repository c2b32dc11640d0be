"""The enterprise dialect: a hosted Stable Diffusion API, at the paths of all its versions.

The key is in the body, numbers may be text, and errors have status 200 unless the deployment, the key or the version of
the path says otherwise. There is no state here: ids are the jobs' numbers, and what rendering needs is in the jobs'
echo, so any process can answer any poll.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pybase64
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.bootstrap import Gateway
from gateway.dialects.common.declared import Table
from gateway.dialects.common.dialect import Handler, Submission, answering, base_url, generate
from gateway.dialects.common.examples import Examples
from gateway.dialects.common.lenient import Lenient
from gateway.dialects.common.request import body_of, declared_json, fields_of, media_type_of
from gateway.dialects.common.strangers import query_not_used
from gateway.dialects.enterprise import answers, controlnet, management, models, uploads
from gateway.dialects.enterprise import echo as enterprise_meta
from gateway.dialects.enterprise import uncontrolled as siblings
from gateway.dialects.enterprise import unsupported as absent
from gateway.dialects.enterprise.call import Call, Function, number_of
from gateway.dialects.enterprise.declared import FIELDS
from gateway.dialects.enterprise.fields import PHRASES, missing
from gateway.dialects.enterprise.options import DIALECT, Options
from gateway.dialects.enterprise.own_pictures import OwnPictures
from gateway.dialects.enterprise.paths import ADMIN, FUNCTIONS, PATHS, TASKS, fetch_path, nothing_yet, version
from gateway.dialects.enterprise.request import Circumstances
from gateway.dialects.enterprise.settings import EnterpriseSettings
from gateway.jobs.job import Job
from gateway.keys.keys import ADMIN as ADMINISTERS
from gateway.keys.keys import GENERATE, Holder
from gateway.web import bodies, problem
from gateway.web.authorization import bearer
from gateway.web.budget import BodiesFull
from gateway.web.malformed import Malformed
from gateway.web.scan import scan_of
from gateway.web.unkeyed import UnkeyedTooOften
from gateway.web.urlencoded import URLENCODED
from mesh.errors import InvalidInput, MeshError, NotFound

_READERS = {task: controlnet.read if task == "controlnet" else siblings.read for task in TASKS}
_FUNCTIONS: Mapping[str, Function] = {**management.FUNCTIONS, **uploads.FUNCTIONS, **models.FUNCTIONS}
_EXAMPLES = Examples("gateway.dialects.enterprise")
_KEY = "key"
"""Name of the field with the key, and of the header."""
_TEMPORARY_S = 86_400.0


class Enterprise:
    """The enterprise dialect: making pictures, polling, and its other functions.

    Args:
        gateway: its parts.
        settings: of the dialect.
        declared: the declared fields, by function.
    """

    name = DIALECT

    def __init__(self, gateway: Gateway, settings: EnterpriseSettings, declared: Mapping[str, Table] = FIELDS) -> None:
        self._gateway = gateway
        self._settings = settings
        self._declared = declared

    def routes(self) -> APIRouter:
        router = APIRouter(tags=["enterprise"])
        for function, paths in PATHS.items():
            endpoint = answering(self, self._handler(function))
            example = _EXAMPLES.request_body("POST", function)
            for path in [
                form for stem in paths for form in ((stem, stem + "/{id}") if function == "fetch" else (stem,))
            ]:
                router.add_api_route(path, endpoint, methods=["POST"], openapi_extra=example)
                if function == "fetch":
                    router.add_api_route(path, endpoint, methods=["GET"])
        return router

    def _handler(self, function: str) -> Handler:
        if function in TASKS:
            return self._pictures
        if function == "fetch":
            return self._fetch
        return self._serving(function)

    async def parse(self, request: Request) -> Submission:
        sent = await self._body(request)
        owner = self._holder(request, sent).owner
        fields, settings, catalogue = self._fields(request, sent), self._gateway.settings, self._gateway.catalogue
        path = request.scope["path"]
        around = Circumstances(path, await catalogue.offer(), settings, await catalogue.default_model())
        # Before pictures are fetched in vain.
        webhook = await self._webhook(fields)
        at_once = fields.flag("instant_response") or webhook is not None
        base64, temp = fields.flag("base64"), fields.flag("temp")
        pictures = OwnPictures(self._gateway.pictures, self._gateway.assets, base_url(self._gateway, request))
        reading = await _READERS[around.task](fields, around, pictures)
        fields.remarks.extend((*fields.unknown(), *_query(request)))
        return Submission(
            generation=reading.generation,
            owner=owner,
            hold_s=0.0 if at_once else self._settings.hold_s,
            remarks=tuple(dict.fromkeys(fields.remarks)),
            echo={
                # Reading the fields a second time must not repeat the remarks about clamped numbers.
                "meta": enterprise_meta.echo(self._fields(request, sent), around, reading),
                "track_id": enterprise_meta.scalar(fields.verbatim("track_id")),
                "base64": base64,
                "temp": temp,
                "steering": reading.steering,
                # For errors of the services, which know the clamped numbers.
                **({"outside": dict(fields.outside)} if fields.outside else {}),
            },
            webhook=webhook,
        )

    async def render(self, request: Request, submission: Submission, job: Job) -> Response:
        path, base = request.scope["path"], base_url(self._gateway, request)
        if job.is_finished and not job.pictures:
            if isinstance(job.error, InvalidInput):
                raise answers.with_tip(answers.in_vendors_words(job.error, job), submission.remarks)
            return self._json(request, answers.failed(job), answers.status_of(job.error) if job.error else 500)
        links = await self._links(base, job)
        if job.pictures:
            output = await self._output(job, links, self._options(request).inline)
            return self._json(request, answers.success(job, output, links, submission.remarks))
        url = f"{base}{fetch_path(path)}/{job.number}"
        return self._json(request, answers.processing(job, links, url, submission.remarks, nothing_yet(path)))

    def render_error(self, request: Request, error: MeshError) -> Response:
        error = answers.in_vendors_words(error, function=self._function(request))
        headers = problem.retry_header(error)
        if isinstance(error, Malformed | BodiesFull | UnkeyedTooOften):
            # No request of the vendor's API looks like this, so its rule about status 200 does not apply.
            return _json(answers.error(error), problem.status_of(error), headers)
        return self._json(request, answers.error(error), answers.status_of(error), headers)

    async def _pictures(self, request: Request) -> Response:
        """Make pictures; answers `processing` if they take longer than the hold, or if there is a webhook."""
        return await generate(self._gateway, self, request)

    async def _fetch(self, request: Request) -> Response:
        """The state of a request, by its integer id in the path or in `request_id`."""
        sent = await self._body(request) if request.method == "POST" else {}
        owner = self._holder(request, sent).owner
        named = request.path_params.get("id") or self._fields(request, sent).verbatim("request_id")
        asked = str(named or "").strip()
        if not asked:
            raise missing("request_id")
        try:
            job = await self._gateway.jobs.find(number_of(asked), owner)
        except NotFound:
            job = None
        if job is None or job.dialect != self.name:
            raise NotFound("Request not found")
        links = await self._links(base_url(self._gateway, request), job)
        output = await self._output(job, links, self._options(request).inline)
        return self._json(request, answers.polled(job, output, links))

    def _serving(self, name: str) -> Handler:
        """The HTTP handler of a function other than making pictures."""
        function = _FUNCTIONS.get(name) or _not_enabled(name)

        async def serve(request: Request) -> Response:
            sent = await self._body(request)
            holder = self._holder(request, sent, ADMINISTERS if name in ADMIN else GENERATE)
            call = Call(
                gateway=self._gateway,
                fields=self._fields(request, sent),
                owner=holder.owner,
                path=request.scope["path"],
                base=base_url(self._gateway, request),
            )
            answer = await function(call)
            remarks = dict.fromkeys([*call.fields.remarks, *call.fields.unknown(), *_query(request)])
            if isinstance(answer, dict) and remarks:
                answer = {**answer, "tip": " ".join(remarks)}
            return self._json(request, answer)

        serve.__name__, serve.__doc__ = name, function.__doc__
        return serve

    async def _body(self, request: Request) -> dict[str, Any]:
        """The fields of the body. They are built only once a valid key was found, in a header or in the body."""
        beside = self._keys_beside(request)
        scan = scan_of(request.headers.get("content-type", ""), wanted=_KEY)
        body = await body_of(self._gateway, request, scan, header_key=_first(beside), is_known=False)
        self._known([scan.found, *beside], request)
        bodies.admit(request)
        if not body or body.isspace():
            return {}
        sent = await fields_of(scan, body)
        # The documented line of curl calls its JSON a form; forms are taken, so that lets in no more pages.
        if scan.is_json and media_type_of(request) != URLENCODED:
            declared_json(self._gateway, request)
        return sent

    def _fields(self, request: Request, sent: Mapping[str, Any]) -> Lenient:
        function = self._function(request)
        others = [task for task in TASKS if task != function] if function in TASKS else []
        return Lenient(sent, self._declared[function], PHRASES, {task: self._declared[task] for task in others})

    def _function(self, request: Request) -> str:
        path = request.scope["path"]
        if "id" in request.path_params:
            path = path.rpartition("/")[0]
        return FUNCTIONS.get(path, "controlnet")

    def _holder(self, request: Request, sent: Mapping[str, Any], scope: str = GENERATE) -> Holder:
        named = [self._fields(request, sent).verbatim(_KEY), *self._keys_beside(request)]
        holder = self._known(named, request)
        # Checked twice, and counted twice, only if it will be refused.
        return holder if scope in holder.scopes else self._gateway.keys.holder(_first(named), scope)

    def _known(self, named: Sequence[Any], request: Request) -> Holder:
        """The holder of the first key of `named` that is not empty."""
        holder = self._gateway.keys.holder(_first(named))
        # The key's options decide how errors are rendered, even if it lacks the scope.
        request.state.options = Options.of(self._settings, holder)
        return holder

    def _keys_beside(self, request: Request) -> list[str | None]:
        """The keys beside the body, the first to count first."""
        named = [request.headers.get(_KEY), bearer(request.headers.get("authorization"))]
        return [*named, request.query_params.get(_KEY)] if request.method == "GET" else named

    def _options(self, request: Request) -> Options:
        """The options of the request's key, once it is known, else the deployment's."""
        return getattr(request.state, "options", None) or Options.of(self._settings)

    async def _webhook(self, fields: Lenient) -> str | None:
        if not fields.says_something("webhook"):
            return None
        return await self._gateway.webhooks.named(fields.text("webhook").strip(), "webhook")

    async def _links(self, base: str, job: Job) -> list[str]:
        """URLs of the pictures, finished or not: expiring after a day or with base64 content, if requested."""
        echo, assets = job.echo, self._gateway.assets
        left_s = None
        if echo.get("temp"):
            left_s = _TEMPORARY_S - (datetime.now(UTC) - job.created_at).total_seconds()
        if not echo.get("base64"):
            return await assets.urls(base, job.assets, left_s)
        plain = [assets.url(base, name, left_s).partition("?") for name in job.assets]
        return [f"{link}.base64{mark}{signature}" for link, mark, signature in plain]

    async def _output(self, job: Job, links: list[str], inline: bool) -> list[str]:
        """The `output` for the pictures: their links, or their base64 if it is requested and `inline`."""
        if not (inline and job.pictures and job.echo.get("base64")):
            return links
        return [pybase64.b64encode_as_string((await self._gateway.assets.get(name)).content) for name in job.assets]

    def _json(self, request: Request, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        telling = self._options(request).strict or version(request.scope["path"]) == "7"
        return _json(body, status if telling else 200, headers)


def _not_enabled(name: str) -> Function:
    async def refuse(call: Call) -> Any:
        raise absent.Absent(name, absent.FUNCTIONS[name])

    refuse.__doc__ = f"Not enabled: it needs {absent.FUNCTIONS[name]}."
    return refuse


def _json(body: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, "application/json")


def _first(named: Sequence[Any]) -> str | None:
    return next((str(key) for key in named if key), None)


def _query(request: Request) -> Iterator[str]:
    """The remarks for what stands in the query."""
    return query_not_used(request, lambda name: "fields are read from the body.")
