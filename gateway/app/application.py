"""The HTTP application: the dialects' routes, the stored files, health and metrics."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from gateway.app.files import asset_routes
from gateway.app.middleware import RequestObserver, hide_query
from gateway.app.openapi import NATIVE, Documents
from gateway.bootstrap import Gateway
from gateway.database.connection import RecordsAway
from gateway.dialects.table import DIALECTS
from gateway.web import problem
from mesh.errors import MeshError, unexpected
from mesh.telemetry import log, request_id


def make_app(gateway: Gateway, dialect_settings: Mapping[str, Any] | None = None) -> FastAPI:
    """Build the application.

    Args:
        gateway: the parts that serve requests.
        dialect_settings: dialect -> its own settings; a missing dialect has the defaults.
    """
    app = FastAPI(redirect_slashes=False, openapi_url=None)
    routers: dict[str, list[APIRouter]] = {NATIVE: [_own_routes(gateway), asset_routes(gateway)]}
    for entry in DIALECTS.values():
        dialect = entry.dialect(gateway, dialect_settings or {})
        routers.setdefault(entry.name, []).append(dialect.routes())
    for router in (router for several in routers.values() for router in several):
        app.include_router(router)
    app.include_router(Documents(routers).routes())
    app.add_exception_handler(HTTPException, _unknown_route)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(MeshError, _failed)
    app.add_exception_handler(Exception, _unexpected)
    FastAPIInstrumentor.instrument_app(app, excluded_urls="/healthz,/readyz,/metrics", server_request_hook=hide_query)
    app.add_middleware(RequestObserver)
    return app


class Readiness(BaseModel):
    """Whether a request for pictures would be served now, and what is missing: services, or the database."""

    ready: bool
    missing: list[str]


def _own_routes(gateway: Gateway) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """This process is running."""
        return "ok"

    @router.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready."}})
    async def readyz() -> Response:
        """A request for pictures would be served now: all services and the database answer, and this process is not
        shutting down."""
        missing = ["gateway"] if gateway.leaving.is_set() else await _missing(gateway)
        return JSONResponse({"ready": not missing, "missing": missing}, 503 if missing else 200)

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus metrics of this process."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _missing(gateway: Gateway) -> list[str]:
    """What a request for pictures would miss now; each part has a limit of its own, and all are asked at once."""
    services, database = await asyncio.gather(
        gateway.services.missing(), gateway.database.probe(), return_exceptions=True
    )
    if isinstance(services, BaseException):
        raise services
    if database is None:
        return services
    if not isinstance(database, RecordsAway):
        raise database
    return [*services, "database"]


async def _unknown_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "unknown path", 405: "this path does not take this method"}
    return problem.plain(
        error.status_code, words.get(error.status_code, "the request can't be handled"), dict(error.headers or {})
    )


async def _invalid(request: Request, error: Exception) -> Response:
    return problem.plain(422, "invalid path or query parameters")


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, MeshError)
    return problem.respond(error)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return problem.plain(500, unexpected(request_id.get()).message)
