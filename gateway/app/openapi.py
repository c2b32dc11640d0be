"""The OpenAPI description of each API by itself: the native one with the operation of the service, and the dialects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute

from gateway.app import docs_page
from gateway.dialects.native.docs.answers import ProblemBody
from gateway.dialects.native.docs.requests import (
    AssetBody,
    GenerationBody,
    HintBatchBody,
    HintBody,
    WebhookEndpointBody,
    WebhookEndpointChange,
)
from gateway.dialects.table import DIALECTS
from mesh.errors import NotFound

NATIVE = "native"
_VERSION = "1"
# Handlers that read their requests themselves name these schemas without FastAPI's knowledge.
_BODIES = (
    *(GenerationBody, HintBody, HintBatchBody, AssetBody),
    *(WebhookEndpointBody, WebhookEndpointChange, ProblemBody),
)
_BEARER = {
    "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "Not asked for where no keys are."}}
}


@dataclass(frozen=True)
class Documents:
    """Descriptions by the name of their API.

    Attributes:
        routers: of each API; the native one's with those that belong to none.
    """

    routers: Mapping[str, Sequence[APIRouter]]

    def of(self, name: str) -> dict[str, Any]:
        """The OpenAPI document; NotFound."""
        if name not in self.routers:
            raise NotFound(f"there is no API of this name; there are: {', '.join(self.routers)}")
        entry = DIALECTS[name]
        routes = [route for router in self.routers[name] for route in router.routes]
        document = get_openapi(title=entry.title, version=_VERSION, description=entry.about, routes=routes)
        _restore_examples(document, routes)
        if name == NATIVE:
            _complete(document)
        return document

    def routes(self) -> APIRouter:
        """/openapi.json and /docs of the native API, the same under each name, and what the pages need."""
        router = APIRouter()

        async def document(request: Request) -> Response:
            return JSONResponse(self.of(request.path_params.get("name", NATIVE)))

        async def page(request: Request) -> Response:
            name = request.path_params.get("name", NATIVE)
            return HTMLResponse(docs_page.render(self.of(name), name, list(self.routers)), headers=docs_page.HEADERS)

        for path, endpoint in (
            ("/openapi.json", document),
            ("/openapi/{name}.json", document),
            ("/docs", page),
            ("/docs/{name}", page),
            (f"{docs_page.VIEWER}/{{file}}", docs_page.viewer),
        ):
            router.add_api_route(path, endpoint, include_in_schema=False)
        return router


def _restore_examples(document: dict[str, Any], routes: Sequence[BaseRoute]) -> None:
    """Put the examples in again as they were written: FastAPI leaves out every null, and null is an answer."""
    for route in routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            replies = {str(status): reply for status, reply in route.responses.items()}
            _copy_examples((route.openapi_extra or {}).get("requestBody", {}), operation.get("requestBody", {}))
            for status, reply in operation["responses"].items():
                _copy_examples(replies.get(status, {}), reply)


def _copy_examples(written: Mapping[str, Any], shown: dict[str, Any]) -> None:
    for media, content in written.get("content", {}).items():
        shown["content"][media] |= {name: content[name] for name in ("example", "examples") if name in content}


def _complete(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for body in _BODIES:
        schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= {**schema.pop("$defs", {}), body.__name__: schema}
    components |= _BEARER
    document["security"] = [{}, {"key": []}]
