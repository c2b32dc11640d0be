"""Errors as RFC 9457 problem details, the gateway's own shape."""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from gateway.bodies import Malformed
from mesh.errors import HTTP_STATUS, MeshError

MEDIA_TYPE = "application/problem+json"
_TITLES = {status.value: status.phrase for status in HTTPStatus} | {499: "Client Closed Request"}


def status_of(error: MeshError) -> int:
    """HTTP status of `error`."""
    return error.status if isinstance(error, Malformed) else HTTP_STATUS[error.code]


def details(error: MeshError) -> dict[str, Any]:
    """`error` as problem details; `field` and `retry_after` stand in it where they are known."""
    status = status_of(error)
    known = {"type": "about:blank", "title": _TITLES[status], "status": status, "detail": error.message}
    if error.field:
        known["field"] = error.field
    if error.retry_after_s is not None:
        known["retry_after"] = error.retry_after_s
    return known


def retry_header(error: MeshError) -> dict[str, str]:
    """The Retry-After header in whole seconds, if `error` may pass by itself."""
    return {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}


def respond(error: MeshError) -> Response:
    """`error` as a response."""
    headers = retry_header(error)
    if status_of(error) == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(orjson.dumps(details(error)), status_of(error), headers, MEDIA_TYPE)


def plain(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A problem that no MeshError stands for, such as an unknown route."""
    known = {"type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status, "detail": detail}
    return Response(orjson.dumps(known), status, headers, MEDIA_TYPE)
