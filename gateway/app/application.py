"""The HTTP application: the dialects' routes, the stored files, health and metrics."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from gateway.app.files import asset_routes
from gateway.app.middleware import RequestObserver, hide_query
from gateway.app.openapi import NATIVE, Documents
from gateway.app.pages import CORS, ForeignPages
from gateway.app.readiness import Readiness
from gateway.app.unknown import Unknown, render
from gateway.bootstrap import Gateway
from gateway.dialects.common.dialect import Dialect
from gateway.dialects.common.entry import Entry
from gateway.dialects.table import DIALECTS
from gateway.settings import INSTANCE_HEADER
from gateway.web import problem
from mesh.errors import MeshError, unexpected
from mesh.telemetry import log, request_id

EDGE = "x-controlmesh-edge"
"""Header that Envoy's edge puts on every request."""


def make_app(gateway: Gateway, dialect_settings: Mapping[str, Any] | None = None) -> FastAPI:
    """Build the application.

    Args:
        gateway: the parts that serve requests.
        dialect_settings: dialect -> its own settings; a missing dialect has the defaults.
    """
    app = FastAPI(redirect_slashes=False, openapi_url=None)
    routers: dict[str, list[APIRouter]] = {NATIVE: [_own_routes(gateway), asset_routes(gateway)]}
    speaking: list[tuple[Entry, Dialect]] = []
    for entry in DIALECTS.values():
        dialect = entry.dialect(gateway, dialect_settings or {})
        speaking.append((entry, dialect))
        routers.setdefault(entry.name, []).append(dialect.routes())
    for router in (router for several in routers.values() for router in several):
        app.include_router(router)
    app.include_router(Documents(routers).routes())
    known = [route for several in routers.values() for router in several for route in router.routes]
    app.add_exception_handler(HTTPException, Unknown(speaking, known).respond)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(MeshError, _failed)
    app.add_exception_handler(Exception, _unexpected)
    FastAPIInstrumentor.instrument_app(app, excluded_urls="/healthz,/readyz,/metrics", server_request_hook=hide_query)
    # The last one is the outermost.
    if gateway.settings.origins:
        app.add_middleware(CORSMiddleware, allow_origins=gateway.settings.origins, **CORS)
    app.add_middleware(
        ForeignPages,
        keyless=lambda: not gateway.keys.asked_for,
        public_url=gateway.settings.public_url,
        origins=gateway.settings.origins,
        refuse=partial(render, speaking),
    )
    app.add_middleware(RequestObserver)
    return app


class ReadinessBody(BaseModel):
    """Whether a request for pictures would be served now, and what is missing: services, or the database."""

    ready: bool
    missing: list[str]


def _own_routes(gateway: Gateway) -> APIRouter:
    router = APIRouter(tags=["operation"])
    readiness = Readiness(gateway)

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """This process is running."""
        return "ok"

    @router.get(
        "/readyz",
        response_model=ReadinessBody,
        responses={503: {"model": ReadinessBody, "description": "Not ready."}},
    )
    async def readyz() -> Response:
        """A request for pictures would be served now: all services and the database answer, and this process is not
        shutting down. Asked anew once a second at most."""
        missing = await readiness.missing()
        headers = {INSTANCE_HEADER: gateway.settings.instance} if gateway.settings.instance else None
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200, headers)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """Prometheus metrics of this process; not at the edge."""
        if EDGE in request.headers:
            raise HTTPException(404)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _invalid(request: Request, error: Exception) -> Response:
    return problem.plain(422, "invalid path or query parameters")


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, MeshError)
    return problem.respond(error)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return problem.plain(500, unexpected(request_id.get()).message)
