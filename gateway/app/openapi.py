"""A separate OpenAPI description for each API: the native one, with the operational routes, and each dialect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute

from gateway.app import docs_page
from gateway.dialects.common.entry import Entry
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
# Handlers that parse their requests themselves refer to these schemas, which FastAPI does not know about.
_BODIES = (
    *(GenerationBody, HintBody, HintBatchBody, AssetBody),
    *(WebhookEndpointBody, WebhookEndpointChange, ProblemBody),
)
_BEARER = {
    "securitySchemes": {
        "key": {"type": "http", "scheme": "bearer", "description": "Not required if the deployment has no keys."}
    }
}


@dataclass(frozen=True)
class Documents:
    """OpenAPI documents by the name of the API.

    Attributes:
        routers: routers of each API, complete; the native API's include the routes of no dialect.
    """

    routers: Mapping[str, Sequence[APIRouter]]
    # Making one takes hundreds of milliseconds, and anybody may ask for it.
    _made: dict[str, dict[str, Any]] = field(default_factory=dict)

    def of(self, name: str) -> dict[str, Any]:
        """The OpenAPI document, made when it is first requested; NotFound."""
        if name not in self._made:
            self._made[name] = self._make(self._entry(name))
        return self._made[name]

    def _entry(self, name: str) -> Entry:
        if name not in self.routers:
            raise NotFound(f"unknown API; known: {', '.join(self.routers)}")
        return DIALECTS[name]

    def _make(self, entry: Entry) -> dict[str, Any]:
        name = entry.name
        routes = [route for router in self.routers[name] for route in router.routes]
        document = get_openapi(title=entry.title, version=_VERSION, description=entry.about, routes=routes)
        _restore_examples(document, routes)
        if name == NATIVE:
            _complete(document)
        return document

    def routes(self) -> APIRouter:
        """Routes of /openapi.json and /docs, for the native API and for each API by name, and the viewer's files."""
        router = APIRouter()

        async def document(request: Request) -> Response:
            return JSONResponse(self.of(request.path_params.get("name", NATIVE)))

        async def page(request: Request) -> Response:
            name = request.path_params.get("name", NATIVE)
            shown = docs_page.render(self._entry(name).title, name, list(self.routers))
            return HTMLResponse(shown, headers=docs_page.HEADERS)

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
    """Restore the examples as written: FastAPI drops every null, and null is a valid value in them."""
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
