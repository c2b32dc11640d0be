"""Documentation of the native API's routes: examples of requests, kinds of answers."""

from collections.abc import Mapping
from types import UnionType
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from gateway.dialects.native_models import GenerationRecord, HintAnswer, HintBatchAnswer, ProblemBody

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
    "words": (
        "A picture that hides a QR code",
        {
            "prompt": "a garden seen from above",
            "controls": [{"kind": "qrcode", "text": "https://example.org", "weight": 1.3}],
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

_HINT_EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "one": (
        "The edges of a picture, as a picture",
        {"kind": "canny", "image": _SENT, "parameters": {"low_threshold": 50}, "short_side": 512},
    ),
    "words": ("A QR code of some words", {"kind": "qrcode", "text": "https://example.org", "short_side": 512}),
    "ready": ("A ready map, checked and fitted to a size", {"kind": "scribble", "image": _SENT, "auto_hint": False}),
    "several": (
        "Edges at one size, depth by a named extractor at another, and the picture with its masked part black, as JSON",
        {
            "hints": [
                {"kind": "canny", "image": _SENT, "width": 512, "height": 512},
                {"kind": "depth", "image": _SENT, "extractor": "model", "parameters": {"detect_resolution": 256}},
                {"kind": "inpaint", "image": _SENT, "mask": _SENT},
            ]
        },
    ),
}


def _request(schema: dict[str, Any], examples: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    shown = {name: {"summary": words, "value": body} for name, (words, body) in examples.items()}
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": shown}}}


def _header(words: str) -> dict[str, Any]:
    return {"description": words, "schema": {"type": "string"}}


def _named(*models: str) -> list[dict[str, Any]]:
    return [{"$ref": f"#/components/schemas/{model}"} for model in models]


GENERATION_REQUEST = _request(_named("GenerationBody")[0], _EXAMPLES)
_HINTS_REQUEST = _request({"anyOf": _named("HintBody", "HintBatchBody")}, _HINT_EXAMPLES)
# What a hint's PNG comes with.
EXTRACTOR_HEADER = "X-ControlMesh-Extractor"
ANNOTATOR_HEADER = "X-ControlMesh-Annotator"
NOTES_HEADER = "X-ControlMesh-Notes"
EVENTS = (
    "Events: `progress` (id, status, step, steps; with a new preview also preview, a data URL, preview_of, the number "
    "of the picture from 0, and preview_step), then `result` (the record) or `error` (a problem)."
)


def documented(
    body: dict[str, Any] | None = None,
    *parameters: dict[str, Any],
    answer: type[BaseModel] | UnionType = GenerationRecord,
    media: Mapping[str, Any] | None = None,
    events: bool = False,
    held: bool = False,
) -> dict[str, Any]:
    """Options of a route that make its documentation; the handler reads and checks the request itself.

    Args:
        body: the request's.
        parameters: of its query.
        answer: the JSON that it is answered with.
        media: what else it may be answered with, by media type.
        events: answered with events instead.
        held: the answer may come before the work is done.
    """
    schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
    problems = {"content": {"application/problem+json": {"schema": schema}}, "description": "What to change."}
    done: dict[str, Any] = {"model": answer, "description": "Done.", "content": dict(media or {})}
    if events:
        done = {"content": {"text/event-stream": {}}, "description": EVENTS}
    responses: dict[int | str, dict[str, Any]] = {200: done, "4XX": problems, "5XX": problems}
    if held:
        responses[202] = {"model": answer, "description": "Not done within `wait`; ask again under Location."}
    extra = {"requestBody": body} if body else {}
    return {
        "responses": responses,
        # No class of response of FastAPI's own, whose media type would be shown beside the real one.
        "response_class": Response,
        "openapi_extra": {**extra, "parameters": list(parameters)} if parameters else extra,
    }


HINTS = documented(_HINTS_REQUEST, answer=HintAnswer | HintBatchAnswer, media={"image/png": {}})
HINTS["responses"][200] |= {
    "description": "Done. A PNG says in headers what the JSON says in fields.",
    "headers": {
        EXTRACTOR_HEADER: _header("Which of the kind's extractors made it; absent for a ready hint."),
        ANNOTATOR_HEADER: _header("Name of the model that found it; absent where none did."),
        NOTES_HEADER: _header("Remarks as a JSON list in ASCII; absent where there are none."),
        "Server-Timing": _header("`hint`: milliseconds of work; `total`: waiting included."),
    },
}
