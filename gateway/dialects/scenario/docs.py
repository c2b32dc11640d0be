"""Documentation of the Scenario dialect's routes. Their handlers parse requests themselves."""

import re
from typing import Any

from gateway.dialects.common.examples import Examples
from gateway.dialects.scenario import queries

_EXAMPLES = Examples("gateway.dialects.scenario")
_WRONG = {"reason": '"prompt" must be a string', "message": '"prompt" must be a string', "trace_id": "..."}


def options(method: str, path: str) -> dict[str, Any]:
    """Route options for the documentation.

    Args:
        path: after the version.
    """
    parameters = [_parameter(name, "path", "") for name in re.findall(r"{(\w+)}", path)]
    parameters += [_parameter(name, "query", words) for name, words in queries.shown(method, path).items()]
    body = _EXAMPLES.request_body(method, path) if _EXAMPLES.requests(method, path) else {}
    return {
        "openapi_extra": {"parameters": parameters, **body},
        "responses": {
            200: {"description": "Done.", "content": _json(_EXAMPLES.answer(method, path))},
            400: {"description": "The request is invalid.", "content": _json(_WRONG)},
        },
    }


def _parameter(name: str, place: str, words: str) -> dict[str, Any]:
    required = {"required": True} if place == "path" else {"description": words}
    return {"name": name, "in": place, "schema": {"type": "string"}, **required}


def _json(example: Any) -> dict[str, Any]:
    return {"application/json": {"example": example}}
