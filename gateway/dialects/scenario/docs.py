"""Documentation of the Scenario dialect's routes: what each takes and answers. Handlers read requests themselves."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.dialects.common.examples import Examples

_EXAMPLES = Examples("gateway.dialects.scenario")
_LISTED = {
    "pageSize": "Entries of a page.",
    "paginationToken": "`nextPaginationToken` of the page before.",
    "types": "Only these types, with commas between.",
}
_QUERIES: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("GET", "/jobs"): {
        **_LISTED,
        "status": "Only jobs of this status.",
        "createdAfter": "ISO 8601.",
        "updatedAfter": "ISO 8601.",
        "hideResults": "false leaves out jobs that were asked for with hideResults.",
    },
    ("GET", "/assets"): {
        **_LISTED,
        "inferenceId": "Only pictures of this job.",
        "modelId": "Only pictures of this model.",
        "createdAfter": "ISO 8601.",
        "createdBefore": "ISO 8601.",
        "sortBy": "createdAt or updatedAt, which are the same: assets don't change.",
        "sortDirection": "asc or desc.",
    },
    ("GET", "/models"): _LISTED,
}
_DRY_RUN = {"dryRun": "`true` or `api`: say the price alone, with status 269."}
_WRONG = {"reason": '"prompt" must be a string', "message": '"prompt" must be a string', "trace_id": "..."}


def options(method: str, path: str) -> dict[str, Any]:
    """Options of a route that make its documentation.

    Args:
        path: behind the version.
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
            400: {"description": "The request can't be served as it is written.", "content": _json(_WRONG)},
        },
    }


def _parameter(name: str, place: str, words: str) -> dict[str, Any]:
    required = {"required": True} if place == "path" else {"description": words}
    return {"name": name, "in": place, "schema": {"type": "string"}, **required}


def _json(example: Any) -> dict[str, Any]:
    return {"application/json": {"example": example}}
