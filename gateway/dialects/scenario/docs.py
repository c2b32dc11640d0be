"""Documentation of the Scenario dialect's routes. Their handlers parse requests themselves."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.dialects.common.examples import Examples

_EXAMPLES = Examples("gateway.dialects.scenario")
_LISTED = {
    "pageSize": "Number of entries of a page.",
    "paginationToken": "`nextPaginationToken` of the previous page.",
    "types": "Only these types, comma-separated.",
}
_QUERIES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("GET", "/jobs"): {
        **_LISTED,
        "status": "Only jobs with this status.",
        "createdAfter": "ISO 8601.",
        "updatedAfter": "ISO 8601.",
        "hideResults": "false leaves out jobs that were requested with hideResults.",
    },
    ("GET", "/assets"): {
        **_LISTED,
        "inferenceId": "Only pictures of this job.",
        "modelId": "Only pictures of this model.",
        "createdAfter": "ISO 8601.",
        "createdBefore": "ISO 8601.",
        "sortBy": "createdAt or updatedAt, which are equal: assets don't change.",
        "sortDirection": "asc or desc.",
    },
    ("GET", "/models"): _LISTED,
}
_DRY_RUN = {"dryRun": "`true` or `api`: return only the price, with status 269."}
_WRONG = {"reason": '"prompt" must be a string', "message": '"prompt" must be a string', "trace_id": "..."}


def options(method: str, path: str) -> dict[str, Any]:
    """Route options for the documentation.

    Args:
        path: after the version.
    """
    queries = _DRY_RUN if path.startswith("/generate/") else _QUERIES.get((method, path), {})
    if path.endswith("/events"):
        queries = {"paginationToken": _LISTED["paginationToken"]}
    parameters = [_parameter(name, "path", "") for name in re.findall(r"{(\w+)}", path)]
    parameters += [_parameter(name, "query", words) for name, words in queries.items()]
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
