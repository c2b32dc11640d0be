"""Errors as RFC 9457 problem details, the gateway's own error format."""

from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

from gateway.web.malformed import Malformed
from mesh.errors import HTTP_STATUS, MeshError

MEDIA_TYPE = "application/problem+json"
PATH = "/controlmesh/v1/problems"


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes:
        name: the last part of its type URL, under PATH.
        status: HTTP status; there is one kind per status.
        title: the same in every problem of the kind.
        meaning: what to do about it.
    """

    name: str
    status: int
    title: str
    meaning: str

    @property
    def type(self) -> str:
        """The type URL, relative to the server that sent the problem; it leads to the description."""
        return f"{PATH}/{self.name}"


KINDS = (
    Kind(
        "malformed",
        400,
        "Malformed request",
        "The body is not a JSON object, or not declared as one. Nothing was read from it.",
    ),
    Kind("unauthenticated", 401, "API key missing or unknown", "Send `Authorization: Bearer KEY` with a valid key."),
    Kind(
        "forbidden",
        403,
        "Not allowed",
        "The key is valid but lacks the scope, a signed link has expired, or a web page of an origin that is not in "
        "CN_GATEWAY_ORIGINS called where no key is asked for.",
    ),
    Kind("not-found", 404, "Not found", "The path or id is unknown, belongs to another key, or has expired."),
    Kind("method-not-allowed", 405, "Method not allowed", "The path exists for other methods; `Allow` lists them."),
    Kind("not-acceptable", 406, "Not acceptable", "`Accept` excludes every media type that this request can return."),
    Kind("conflict", 409, "Conflict", "The idempotency key was used for another request; use a new one."),
    Kind("body-too-large", 413, "Body too large", "Send smaller pictures, or upload them one by one as assets."),
    Kind("body-compressed", 415, "Compressed body", "Send the body without Content-Encoding."),
    Kind(
        "misdirected",
        421,
        "Another server's name",
        "Where no key is asked for, `Host` must be a name of loopback or the public URL's.",
    ),
    Kind("invalid", 422, "Invalid request", "`field` names the part to change, `detail` what it must be."),
    Kind("overloaded", 429, "Too many requests", "A limit was reached; try again after `retry_after` seconds."),
    Kind("cancelled", 499, "Client closed request", "The client cancelled the request."),
    Kind("internal", 500, "Internal error", "A fault of the service; report it with the answer's X-Request-Id."),
    Kind("not-enabled", 501, "Not enabled", "The deployment does not have this feature."),
    Kind(
        "unavailable", 503, "Unavailable", "A part of the mesh is not available; try again after `retry_after` seconds."
    ),
    Kind(
        "deadline-exceeded", 504, "Deadline exceeded", "The deadline passed before the work was done; allow more time."
    ),
)
"""Every kind of problem."""
RESPONSES: dict[int | str, dict[str, Any]] = {
    statuses: {
        "description": "What to change.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
    }
    for statuses in ("4XX", "5XX")
}
"""The documentation of every route's errors, for FastAPI."""
BY_STATUS = {kind.status: kind for kind in KINDS}
_OTHER = Kind("", 0, "Error", "")


def status_of(error: MeshError) -> int:
    """HTTP status of `error`."""
    return error.status if isinstance(error, Malformed) else HTTP_STATUS[error.code]


def details(error: MeshError) -> dict[str, Any]:
    """`error` as problem details, with `field` and `retry_after` where they are known."""
    known = _body(status_of(error), error.message)
    if error.field:
        known["field"] = error.field
    if error.retry_after_s is not None:
        known["retry_after"] = error.retry_after_s
    return known


def retry_header(error: MeshError) -> dict[str, str]:
    """The Retry-After header in whole seconds, if a retry of the request may succeed."""
    return {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}


def respond(error: MeshError) -> Response:
    """`error` as a response."""
    headers = retry_header(error)
    if status_of(error) == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(orjson.dumps(details(error)), status_of(error), headers, MEDIA_TYPE)


def plain(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A problem without a MeshError, such as an unknown route."""
    return Response(orjson.dumps(_body(status, detail)), status, headers, MEDIA_TYPE)


def _body(status: int, detail: str) -> dict[str, Any]:
    kind = BY_STATUS.get(status, _OTHER)
    return {"type": kind.type if kind.name else "about:blank", "title": kind.title, "status": status, "detail": detail}
