"""Parses requests of the native API: generations, their handling, and parameters of lists."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request

from families.limits import MOST_CONTROLS, Range
from gateway.dialects.native.body import given, refuse_unknown
from gateway.dialects.native.docs import requests as models
from gateway.dialects.native.record import PICTURES
from gateway.generation import numbers
from gateway.generation.checks import number, whole, wrong
from gateway.generation.generation import Control, Generation, without_prompt
from gateway.jobs.bounds import DEADLINE_S, LIMIT, LIMIT_DEFAULT, PRIORITY
from gateway.jobs.job import Filter, Status
from gateway.web.prefer import Waiting, read_prefer
from mesh.errors import InvalidInput

WAIT = Range(0, 300)
WAIT_DEFAULT_S = 60.0

_FIELDS = frozenset(models.GenerationBody.model_fields)
_CONTROL_FIELDS = frozenset(models.ControlBody.model_fields)
# Fields about the handling, as opposed to the result.
_HANDLING = ("priority", "deadline_s", "webhook")


@dataclass(frozen=True)
class Asked:
    """A parsed request for pictures.

    Attributes:
        outline: the generation, with b"" in place of every picture.
        sent: its fields as sent, with the pictures.
        handling: those of `priority`, `deadline_s` and `webhook` that were sent; the webhook is unchecked.
    """

    outline: Generation
    sent: Mapping[str, Any]
    handling: Mapping[str, Any]


def asked(body: Mapping[str, Any]) -> Asked:
    """Check `body` except for its pictures.

    Raises:
        InvalidInput: for the first invalid field.
    """
    refuse_unknown(body, _FIELDS)
    sent = given(body)
    handling = {name: sent.pop(name) for name in _HANDLING if name in sent}
    if "prompt" not in sent and sent.get("guess_mode") is not True:
        raise without_prompt()
    for name, check in (("priority", whole(PRIORITY)), ("deadline_s", number(DEADLINE_S))):
        if name in handling:
            handling[name] = check(name, handling[name])
    return Asked(_outline(sent), sent, handling)


def waiting(request: Request) -> Waiting:
    """How long the answer may be held, from the query, else from the Prefer header.

    Raises:
        InvalidInput: an invalid `wait` in the query.
    """
    sent = request.query_params.get("wait")
    if sent is None:
        prefers = read_prefer(request.headers.get("prefer"), WAIT.maximum)
        return prefers or Waiting(WAIT_DEFAULT_S, "")
    seconds = numbers.written(sent)
    if seconds is None or not WAIT.holds(seconds):
        raise wrong("wait", f"a number from {WAIT}", sent)
    return Waiting(float(seconds), "")


def limit(request: Request) -> int:
    """The requested page size; InvalidInput."""
    sent = request.query_params.get("limit")
    if sent is None:
        return LIMIT_DEFAULT
    number = numbers.whole(numbers.written(sent))
    if number is None or not LIMIT.holds(number):
        raise wrong("limit", f"a whole number from {LIMIT}", sent)
    return number


def which(request: Request) -> Filter:
    """The requested filter of generations; InvalidInput."""
    statuses = [word for sent in request.query_params.getlist("status") for word in sent.split(",")]
    for word in statuses:
        if word not in tuple(Status):
            raise wrong("status", f"a comma-separated list of {', '.join(Status)}", word)
    return Filter(
        statuses=tuple(dict.fromkeys(Status(word) for word in statuses)),
        created_after=_moment("created_after", request.query_params.get("created_after")),
    )


def _moment(name: str, sent: str | None) -> datetime | None:
    if sent is None:
        return None
    try:
        moment = datetime.fromisoformat(sent)
        # Times near the ends of the calendar can't be converted to UTC.
        if moment.tzinfo is not None and math.isfinite(moment.timestamp()):
            return moment
    except (ValueError, OverflowError):
        pass
    raise wrong(name, "a time with its time zone, such as 2026-01-31T12:00:00Z", sent)


def _outline(sent: Mapping[str, Any]) -> Generation:
    controls = sent.get("controls", [])
    if not isinstance(controls, list):
        raise wrong("controls", f"a list of at most {MOST_CONTROLS}", controls)
    if len(controls) > MOST_CONTROLS:
        raise InvalidInput(f"controls has {len(controls)} entries; at most {MOST_CONTROLS} are taken", field="controls")
    steering = tuple(_control(index, control) for index, control in enumerate(controls))
    return Generation(**{"prompt": "", **_apart(sent), "controls": steering})


def _control(index: int, body: object) -> Control:
    at = f"controls[{index}]"
    if not isinstance(body, dict):
        raise wrong(at, "an object", body)
    refuse_unknown(body, _CONTROL_FIELDS, at)
    sent = given(body)
    if "kind" not in sent:
        raise InvalidInput(f"{at}.kind is missing; name the control, such as canny", field=f"{at}.kind")
    return Control(**_apart(sent))


def _apart(sent: Mapping[str, Any]) -> dict[str, Any]:
    return {name: b"" if name in PICTURES else value for name, value in sent.items()}
