"""Documentation of the native API's routes: parameters, bodies and answers."""

from collections.abc import Mapping
from types import UnionType
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from gateway.dialects.common.examples import Examples
from gateway.dialects.common.notes import NOTES_HEADER
from gateway.dialects.native.docs import answers, lists
from gateway.dialects.native.request import WAIT, WAIT_DEFAULT_S
from gateway.jobs.bounds import LIMIT, LIMIT_DEFAULT
from gateway.jobs.idempotency import HEADER, MOST_CHARACTERS
from gateway.jobs.job import Status
from gateway.web import problem

# Headers of a hint's PNG.
EXTRACTOR_HEADER = "X-ControlMesh-Extractor"
ANNOTATOR_HEADER = "X-ControlMesh-Annotator"

_STREAM = (
    "Events: `progress` (id, status, step, steps, eta_s, the estimated seconds left; with a new preview also "
    "preview, a data URL, preview_of, the number of the picture from 0, and preview_step), then `result` (the record) "
    "or `error` (a problem). Each has an id; a stream always begins with the current state."
)


_EXAMPLES = Examples("gateway.dialects.native")
_shown = _EXAMPLES.answer


def _request(schema: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    examples = _EXAMPLES.requests(method, path)
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def _events(shown: Mapping[str, list[Any]]) -> str:
    """The text of an event stream with these events, by name."""
    each = [(name, orjson.dumps(data).decode()) for name, several in shown.items() for data in several]
    return "".join(f"event: {name}\ndata: {data}\n\n" for name, data in each)


def _header(words: str) -> dict[str, Any]:
    return {"description": words, "schema": {"type": "string"}}


def _parameter(name: str, words: str, schema: dict[str, Any], place: str = "query") -> dict[str, Any]:
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": words, "schema": schema, **required}


def _named(*models: str) -> list[dict[str, Any]]:
    return [{"$ref": f"#/components/schemas/{model}"} for model in models]


def documented(
    *parameters: dict[str, Any],
    answer: type[BaseModel] | UnionType | None,
    example: Any = None,
    body: dict[str, Any] | None = None,
    media: Mapping[str, Any] | None = None,
    status: int = 200,
    words: str = "Done.",
    headers: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Route options for the documentation; the handler reads and checks the request itself.

    Args:
        parameters: parameters of its path, query and headers.
        answer: model of its JSON answer; None for none.
        example: example of the answer.
        body: model of the request's body.
        media: other answers, by media type.
        status, words, headers: status, description and headers of the answer.
    """
    done: dict[str, Any] = {"description": words, "content": dict(media or {})}
    if answer is not None:
        done["model"] = answer
        done["content"]["application/json"] = {"example": example}
    if headers:
        done["headers"] = dict(headers)
    extra = {"requestBody": body} if body else {}
    return {
        "status_code": status,
        "responses": {status: done, **problem.RESPONSES},
        # Not one of FastAPI's response classes, whose media type would be documented in addition to the real one.
        "response_class": Response,
        "openapi_extra": {**extra, "parameters": list(parameters)} if parameters else extra,
    }


_ID = _parameter("id", "Id of the generation.", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "path")
_FILE = _parameter("id", "Id of the file.", {"type": "string"}, "path")
_ENDPOINT = _parameter("id", "Id of the webhook endpoint.", {"type": "string"}, "path")
_LIMIT = _parameter(
    "limit",
    "Number of entries of a page.",
    {"type": "integer", "minimum": LIMIT.minimum, "maximum": LIMIT.maximum, "default": LIMIT_DEFAULT},
)
_AFTER = _parameter("after", "`next` of the previous page; left out: the first page.", {"type": "string"})
_WAIT = _parameter(
    "wait",
    "Seconds to wait for the pictures before answering.",
    {"type": "number", "minimum": WAIT.minimum, "maximum": WAIT.maximum, "default": WAIT_DEFAULT_S},
)
_PREFER = _parameter(
    "Prefer",
    "`respond-async` or `wait=N` instead of `wait` (RFC 7240); Preference-Applied confirms it.",
    {"type": "string", "examples": ["respond-async"]},
    "header",
)
_KEY = _parameter(
    HEADER,
    "Repeating a request with the same key returns the same generation; a different request with it is refused.",
    {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS},
    "header",
)
_STATUS = _parameter(
    "status",
    "Only these statuses, comma-separated.",
    {"type": "array", "items": {"type": "string", "enum": list(Status)}},
) | {"style": "form", "explode": False}
_SINCE = _parameter(
    "created_after",
    "Only those created after this time.",
    {"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00Z"]},
)
_SEEN = _parameter("Last-Event-ID", "Id of the last event that was received.", {"type": "string"}, "header")
_SOURCE = _parameter(
    "source",
    "Only files of this origin; may be repeated.",
    {"type": "array", "items": {"type": "string"}, "examples": [["uploaded"]]},
)
_OF_MODEL = _parameter(
    "model",
    "Only kinds for which this loaded model has a ControlNet; left out: all kinds.",
    {"type": "string"},
)
_KIND = _parameter("name", "The last part of the type URL.", {"type": "string", "examples": ["invalid"]}, "path")
_PLACE = {"Location": _header("URL of its record.")}
_FURTHER = {"Link": _header('The next page, rel="next"; absent on the last page.')}

CREATE = documented(
    _WAIT,
    _PREFER,
    _KEY,
    answer=answers.GenerationRecord,
    example=_shown("POST", "/generations"),
    body=_request(_named("GenerationBody")[0], "POST", "/generations"),
    headers=_PLACE,
)
CREATE["responses"][202] = {
    "model": answers.GenerationRecord,
    "description": "Not done within `wait`; poll the URL in Location.",
    "content": {"application/json": {"example": _shown("POST", "/generations", 202)}},
    "headers": _PLACE,
}
LIST = documented(
    _LIMIT,
    _AFTER,
    _STATUS,
    _SINCE,
    answer=answers.GenerationList,
    example=_shown("GET", "/generations"),
    headers=_FURTHER,
)
SHOW = documented(_ID, answer=answers.GenerationRecord, example=_shown("GET", "/generations/{id}"))
CANCEL = documented(_ID, answer=answers.GenerationRecord, example=_shown("DELETE", "/generations/{id}"))
EVENTS = documented(
    _ID,
    _SEEN,
    answer=None,
    media={"text/event-stream": {"example": _events(_shown("GET", "/generations/{id}/events"))}},
    words=_STREAM,
)
EVENTS["responses"][204] = {"description": "The final event was already received; do not reconnect."}
HINTS = documented(
    answer=answers.HintAnswer | answers.HintBatchAnswer,
    example=_shown("POST", "/hints"),
    body=_request({"anyOf": _named("HintBody", "HintBatchBody")}, "POST", "/hints"),
    media={"image/png": {"schema": {"type": "string", "format": "binary"}}},
    words="Done. A PNG has in its headers what the JSON has in its fields.",
    headers={
        EXTRACTOR_HEADER: _header("Extractor that made it; absent for a ready hint."),
        ANNOTATOR_HEADER: _header("Name of the extractor's model; absent if there is none."),
        NOTES_HEADER: _header("Remarks as a JSON list in ASCII; absent if there are none."),
        "Server-Timing": _header("`hint`: milliseconds of work; `total`: waiting included."),
    },
)
_UPLOAD = _request(_named("AssetBody")[0], "POST", "/assets")
for _media in ("image/png", "image/jpeg", "image/webp"):
    _UPLOAD["content"][_media] = {"schema": {"type": "string", "format": "binary"}}
KEEP = documented(
    answer=answers.AssetRecordBody,
    example=_shown("POST", "/assets", 201),
    body=_UPLOAD,
    status=201,
    words="Stored, or already stored.",
    headers=_PLACE,
)
ASSETS = documented(
    _LIMIT, _AFTER, _SOURCE, answer=answers.AssetList, example=_shown("GET", "/assets"), headers=_FURTHER
)
ASSET = documented(_FILE, answer=answers.AssetRecordBody, example=_shown("GET", "/assets/{id}/record"))
DROP = documented(_FILE, answer=None, status=204, words="Removed.")
CREATE_ENDPOINT = documented(
    answer=answers.NewWebhookEndpoint,
    example=_shown("POST", "/webhook-endpoints", 201),
    body=_request(_named("WebhookEndpointBody")[0], "POST", "/webhook-endpoints"),
    status=201,
    words="Created.",
    headers=_PLACE,
)
ENDPOINTS = documented(answer=answers.WebhookEndpointList, example=_shown("GET", "/webhook-endpoints"))
ENDPOINT = documented(_ENDPOINT, answer=answers.WebhookEndpointRecord, example=_shown("GET", "/webhook-endpoints/{id}"))
CHANGE_ENDPOINT = documented(
    _ENDPOINT,
    answer=answers.WebhookEndpointRecord,
    example=_shown("PATCH", "/webhook-endpoints/{id}"),
    body=_request(_named("WebhookEndpointChange")[0], "PATCH", "/webhook-endpoints/{id}"),
)
DROP_ENDPOINT = documented(_ENDPOINT, answer=None, status=204, words="Removed.")
SECRET = documented(answer=answers.WebhookSecret, example=_shown("GET", "/webhook-secret"))
MODELS = documented(answer=lists.ModelList, example=_shown("GET", "/models"))
CONTROLS = documented(_OF_MODEL, answer=lists.ControlList, example=_shown("GET", "/controls"))
SCHEDULERS = documented(answer=lists.SchedulerList, example=_shown("GET", "/schedulers"))
STYLES = documented(answer=lists.StyleList, example=_shown("GET", "/styles"))
PROBLEMS = documented(answer=lists.ProblemKindList, example=_shown("GET", "/problems"))
PROBLEM = documented(_KIND, answer=lists.ProblemKindBody, example=_shown("GET", "/problems/{name}"))
