"""Answers to requests that reach no route, in the shape and words of the API whose paths begin like theirs."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.dialects.common.dialect import Dialect
from gateway.dialects.common.entry import Entry
from gateway.web import problem
from gateway.web.malformed import NoRoute
from mesh.errors import MeshError

_LONGEST = 120
"""Longer paths are not compared with those that exist."""
_CUTOFF = 0.8
_PLACE = re.compile(r"\{[^}]*\}")

# Beginnings of the paths of well-known APIs that are not served here.
STRANGERS: Mapping[str, str] = {
    "/sdapi/": "AUTOMATIC1111's API",
    "/controlnet/": "AUTOMATIC1111's ControlNet API",
    "/v1/images": "OpenAI's API",
    "/v1/chat": "OpenAI's API",
    "/v1/completions": "OpenAI's API",
    "/v1/responses": "OpenAI's API",
    "/prompt": "ComfyUI's API",
    "/history": "ComfyUI's API",
    "/queue": "ComfyUI's API",
    "/object_info": "ComfyUI's API",
    "/upload/image": "ComfyUI's API",
    "/system_stats": "ComfyUI's API",
    "/v1/predictions": "Replicate's API",
    "/predictions": "Replicate's API",
    "/v1/generation/": "Stability AI's API",
    "/v2beta/": "Stability AI's API",
    "/v2/models": "an inference server's own API",
    "/invocations": "a model container's own API",
}


def render(dialects: Sequence[tuple[Entry, Dialect]], request: Request, error: MeshError) -> Response:
    """`error` as the API does whose paths begin like the request's, as a problem at other paths."""
    found = next((dialect for entry, dialect in dialects if entry.owns(request.url.path)), None)
    return problem.respond(error) if found is None else found.render_error(request, error)


class Unknown:
    """Renders what is wrong with a request's path or method.

    Args:
        dialects: each dialect with its entry.
        routes: all routes.
    """

    def __init__(self, dialects: Sequence[tuple[Entry, Dialect]], routes: Iterable[BaseRoute]) -> None:
        self._dialects = dialects
        self._routes = [route for route in routes if isinstance(route, Route)]
        self._shown: dict[str, list[str]] = {}
        for route in self._routes:
            if route.include_in_schema:
                self._shown.setdefault(_PLACE.sub(_in_capitals, route.path), []).extend(route.methods or ())
        titles = {entry.title.removeprefix("ControlMesh as "): entry.at for entry, _ in dialects}
        self._served = "; ".join(f"{title} at {at}" for title, at in titles.items())

    async def respond(self, request: Request, error: Exception) -> Response:
        """The answer, in the shape of the API whose paths begin like the request's."""
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(self._methods(request.url.path))
        if error.status_code not in (404, 405):
            return problem.plain(error.status_code, "the request can't be handled", headers)
        words = self._unknown(request) if error.status_code == 404 else _other(request, headers["Allow"])
        fault = NoRoute(words, error.status_code)
        answer = render(self._dialects, request, fault)
        answer.headers.update(headers)
        return answer

    def _unknown(self, request: Request) -> str:
        path = request.url.path
        name = next((name for start, name in STRANGERS.items() if path.startswith(start)), None)
        if name is not None:
            return f"{name} is not served here; served: {self._served}; GET /docs describes them"
        near = difflib.get_close_matches(path, self._shown, n=1, cutoff=_CUTOFF) if len(path) <= _LONGEST else []
        if near:
            methods = self._shown[near[0]]
            method = request.method if request.method in methods else methods[0]
            return f"unknown path; did you mean {method} {near[0]}? GET /docs describes all"
        return f"unknown path; served: {self._served}; GET /docs describes them"

    def _methods(self, path: str) -> list[str]:
        found = (route.methods or () for route in self._routes if route.path_regex.match(path))
        return sorted({method for methods in found for method in methods})


def _other(request: Request, taken: str) -> str:
    return f"this path does not take {request.method[:20]}; it takes {taken}"


def _in_capitals(found: re.Match[str]) -> str:
    """An id in a route's path as people read it."""
    return found[0][1:-1].partition(":")[0].upper()
