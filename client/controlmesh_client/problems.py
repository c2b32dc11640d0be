"""Errors: one class for each kind of problem of the mesh, and errors of the client."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from controlmesh_client.messages import Answer

_SHOWN = 300


class ControlMeshError(Exception):
    """Base of all errors of the client except wrong arguments."""


class NoAnswer(ControlMeshError):
    """The mesh can't be reached, or connections broke, after all attempts."""


class UnexpectedAnswer(ControlMeshError):
    """The answer is not the native API's: the URL may be another server's."""


class NotFinished(ControlMeshError, TimeoutError):
    """The timeout passed before the pictures were made.

    Attributes:
        id: id of the generation.
        status: its last known status.
    """

    def __init__(self, id: str, status: str) -> None:
        super().__init__(f"generation {id} is still {status}; allow more time, or ask for fewer at once")
        self.id = id
        self.status = status


class Problem(ControlMeshError):
    """An error of the mesh, from its RFC 9457 problem details. The message is `detail`.

    Attributes:
        status: HTTP status.
        type: kind of the problem; `GET` it from the mesh for its description.
        title: title of the kind.
        detail: what was wrong and what to change.
        field: the wrong field of the request, such as `controls[0].weight`; "" for none.
        retry_after_s: seconds after which a retry may succeed; None if unknown.
        request_id: the request's id in the mesh's logs; "" if unknown.
    """

    kind: ClassVar[str] = ""
    """The last part of `type`."""
    usual_status: ClassVar[int] = 0

    def __init__(self, details: Mapping[str, Any], request_id: str = "", retry_after_s: float | None = None) -> None:
        self.status = int(details.get("status") or self.usual_status)
        self.type = str(details.get("type") or "about:blank")
        self.title = str(details.get("title") or "")
        self.detail = str(details.get("detail") or self.title or f"status {self.status}")
        self.field = str(details.get("field") or "")
        told = details.get("retry_after")
        self.retry_after_s = retry_after_s if told is None else float(told)
        self.request_id = request_id
        super().__init__(self.detail)


class Malformed(Problem):
    """The body is not a JSON object."""

    kind, usual_status = "malformed", 400


class Unauthenticated(Problem):
    """The API key is missing or unknown."""

    kind, usual_status = "unauthenticated", 401


class Forbidden(Problem):
    """The key is valid but lacks the scope, or a signed link has expired."""

    kind, usual_status = "forbidden", 403


class NotFound(Problem):
    """The id is unknown, belongs to another key, or has expired."""

    kind, usual_status = "not-found", 404


class MethodNotAllowed(Problem):
    """The path exists for other methods."""

    kind, usual_status = "method-not-allowed", 405


class NotAcceptable(Problem):
    """The request can't be answered with an accepted media type."""

    kind, usual_status = "not-acceptable", 406


class Conflict(Problem):
    """The idempotency key was used for another request."""

    kind, usual_status = "conflict", 409


class BodyTooLarge(Problem):
    """The request is larger than the mesh accepts."""

    kind, usual_status = "body-too-large", 413


class BodyCompressed(Problem):
    """The request's body was compressed."""

    kind, usual_status = "body-compressed", 415


class Misdirected(Problem):
    """The request names another server in `Host`, which a mesh without keys does not answer."""

    kind, usual_status = "misdirected", 421


class Invalid(Problem):
    """`field` names the part of the request to change, the message what it must be."""

    kind, usual_status = "invalid", 422


class Overloaded(Problem):
    """Too many requests are waiting, or the key's rate limit is reached."""

    kind, usual_status = "overloaded", 429


class Cancelled(Problem):
    """The generation was cancelled."""

    kind, usual_status = "cancelled", 499


class Internal(Problem):
    """A fault of the mesh; report it with `request_id`."""

    kind, usual_status = "internal", 500


class NotEnabled(Problem):
    """The deployment does not have this feature."""

    kind, usual_status = "not-enabled", 501


class Unavailable(Problem):
    """A part of the mesh is not available."""

    kind, usual_status = "unavailable", 503


class DeadlineExceeded(Problem):
    """The deadline passed before the work was done."""

    kind, usual_status = "deadline-exceeded", 504


_KINDS = {cls.kind: cls for cls in Problem.__subclasses__()}
_STATUSES = {cls.usual_status: cls for cls in Problem.__subclasses__()}


def problem(details: Mapping[str, Any], request_id: str = "", retry_after_s: float | None = None) -> Problem:
    """The error for problem details; for an unknown kind, the class that fits its status best."""
    kind = str(details.get("type", "")).rpartition("/")[2]
    cls = _KINDS.get(kind) or _STATUSES.get(int(details.get("status") or 0), Problem)
    return cls(details, request_id, retry_after_s)


def problem_of(answer: Answer, retry_after_s: float | None = None) -> Problem:
    """The error for an answer. A proxy's answer without problem details is classified by its status."""
    try:
        details = json.loads(answer.content)
    except ValueError:
        details = None
    if not isinstance(details, dict) or "detail" not in details:
        words = answer.content.decode("utf-8", "replace").strip()[:_SHOWN]
        details = {"detail": f"status {answer.status}" + (f": {words}" if words else "")}
    return problem({**details, "status": answer.status}, answer.headers.get("x-request-id", ""), retry_after_s)
