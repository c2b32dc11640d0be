"""Errors: one class for each kind of problem that the mesh answers with, and those that happen on this side."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from controlmesh_client.messages import Answer

_SHOWN = 300


class ControlMeshError(Exception):
    """Whatever the client raises that is not a mistake in how it was called."""


class NoAnswer(ControlMeshError):
    """The mesh can't be reached, or was cut off in the middle, more often than there was patience for."""


class UnexpectedAnswer(ControlMeshError):
    """An answer that is not the native API's: the URL may be another server's."""


class NotFinished(ControlMeshError, TimeoutError):
    """The time that was given was over before the pictures were made.

    Attributes:
        id: of the generation.
        status: as it was heard of last.
    """

    def __init__(self, id: str, status: str) -> None:
        super().__init__(f"generation {id} is still {status}; allow more time, or ask for fewer at once")
        self.id = id
        self.status = status


class Problem(ControlMeshError):
    """What the mesh refused or failed at, as RFC 9457 problem details say it. The message is `detail`.

    Attributes:
        status: of HTTP.
        type: kind of the problem; `GET` it from the mesh for its description.
        title: of the kind.
        detail: what was wrong and what to change.
        field: of the request, such as `controls[0].weight`; "" where none is at fault.
        retry_after_s: seconds after which the same may succeed; None where it says none.
        request_id: under which the mesh's logs have the request; "" where the answer named none.
    """

    kind: ClassVar[str] = ""
    """How `type` ends."""
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
    """The body is no JSON object."""

    kind, usual_status = "malformed", 400


class Unauthenticated(Problem):
    """The API key is missing or unknown."""

    kind, usual_status = "unauthenticated", 401


class Forbidden(Problem):
    """The key is valid and lacks the scope, or a signed link has ended."""

    kind, usual_status = "forbidden", 403


class NotFound(Problem):
    """Nothing has this id, or it is another key's, or it is gone."""

    kind, usual_status = "not-found", 404


class MethodNotAllowed(Problem):
    """The path exists for other methods."""

    kind, usual_status = "method-not-allowed", 405


class NotAcceptable(Problem):
    """The request can't be answered in the form that was asked for."""

    kind, usual_status = "not-acceptable", 406


class Conflict(Problem):
    """The idempotency key stands for another request."""

    kind, usual_status = "conflict", 409


class BodyTooLarge(Problem):
    """The request is larger than the mesh takes."""

    kind, usual_status = "body-too-large", 413


class BodyCompressed(Problem):
    """The request was compressed on its way."""

    kind, usual_status = "body-compressed", 415


class Invalid(Problem):
    """`field` names the part of the request to change, the message what it must be."""

    kind, usual_status = "invalid", 422


class Overloaded(Problem):
    """Too many requests wait, or this key asks too often."""

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
    """A part of the mesh is away."""

    kind, usual_status = "unavailable", 503


class DeadlineExceeded(Problem):
    """The mesh's time for the work was over before it was done."""

    kind, usual_status = "deadline-exceeded", 504


_KINDS = {cls.kind: cls for cls in Problem.__subclasses__()}
_STATUSES = {cls.usual_status: cls for cls in Problem.__subclasses__()}


def problem(details: Mapping[str, Any], request_id: str = "", retry_after_s: float | None = None) -> Problem:
    """The error that `details` tell of; of a kind that is unknown here, the one that its status is nearest to."""
    kind = str(details.get("type", "")).rpartition("/")[2]
    cls = _KINDS.get(kind) or _STATUSES.get(int(details.get("status") or 0), Problem)
    return cls(details, request_id, retry_after_s)


def problem_of(answer: Answer, retry_after_s: float | None = None) -> Problem:
    """The error that an answer is. What a proxy says in words of its own is told by its status."""
    try:
        details = json.loads(answer.content)
    except ValueError:
        details = None
    if not isinstance(details, dict) or "detail" not in details:
        words = answer.content.decode("utf-8", "replace").strip()[:_SHOWN]
        details = {"detail": f"status {answer.status}" + (f": {words}" if words else "")}
    return problem({**details, "status": answer.status}, answer.headers.get("x-request-id", ""), retry_after_s)
