"""Documentation of the native API's routes: examples of requests, kinds of answers."""

from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from gateway.dialects.native_models import GenerationRecord, ProblemBody

_SENT = "data:image/png;base64,iVBORw0KGgo..."
_SETTINGS = {"steps": 20, "guidance_scale": 3.0, "seed": 7}
_EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "controlled": (
        "One picture that follows the edges of another",
        {
            "prompt": "a red circle on a white background",
            "controls": [{"kind": "canny", "image": _SENT}],
            **_SETTINGS,
        },
    ),
    "image_to_image": (
        "A picture changed by half, its edges kept",
        {
            "prompt": "a (blue:1.3) circle on a white background",
            "image": _SENT,
            "strength": 0.5,
            "controls": [{"kind": "canny"}],
            **_SETTINGS,
        },
    ),
    "inpaint": (
        "What is white in the mask painted anew, with previews",
        {
            "prompt": "a yellow ring on a white background",
            "image": _SENT,
            "mask": _SENT,
            "strength": 1.0,
            "preview_every": 5,
            **_SETTINGS,
        },
    ),
}

GENERATION_REQUEST: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/GenerationBody"},
            "examples": {name: {"summary": words, "value": body} for name, (words, body) in _EXAMPLES.items()},
        }
    },
}
EVENTS = (
    "Events: `progress` (id, status, step, steps; with a new preview also preview, a data URL, preview_of, the number "
    "of the picture from 0, and preview_step), then `result` (the record) or `error` (a problem)."
)


def documented(
    body: dict[str, Any] | None = None,
    *parameters: dict[str, Any],
    answer: type[BaseModel] = GenerationRecord,
    events: bool = False,
) -> dict[str, Any]:
    """Options of a route that make its documentation; the handler reads and checks the request itself."""
    schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
    problems = {"content": {"application/problem+json": {"schema": schema}}, "description": "What to change."}
    done: dict[str, Any] = {"model": answer, "description": "Done."}
    if events:
        done = {"content": {"text/event-stream": {}}, "description": EVENTS}
    responses: dict[int | str, dict[str, Any]] = {200: done, "4XX": problems, "5XX": problems}
    if body:
        responses[202] = {"model": answer, "description": "Not done within `wait`; ask again under Location."}
    extra = {"requestBody": body} if body else {}
    return {
        "responses": responses,
        # No class of response of FastAPI's own, whose media type would be shown beside the real one.
        "response_class": Response,
        "openapi_extra": {**extra, "parameters": list(parameters)} if parameters else extra,
    }
