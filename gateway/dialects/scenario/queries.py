"""The Scenario dialect's query parameters, by route: those that its pages show, and what else is read.

Source: the vendor's reference and its SDKs.
"""

from collections.abc import Iterator, Mapping

from fastapi.routing import APIRoute
from starlette.requests import Request

from gateway.dialects.common.strangers import query_not_used
from gateway.dialects.scenario.routes import PREFIX
from mesh.suggestions import closest

_LISTED = {
    "pageSize": "Number of entries of a page.",
    "paginationToken": "`nextPaginationToken` of the previous page.",
    "types": "Only these types, comma-separated.",
}
_SHOWN: Mapping[tuple[str, str], Mapping[str, str]] = {
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
# Sent by clients of the vendor's with every request.
_EVERYWHERE = ("projectId",)
_ALSO_READ: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("GET", "/jobs"): ("type", "authorId", "workflowId"),
    ("GET", "/assets"): (
        "type",
        "authorId",
        "collectionId",
        "privacy",
        "deleted",
        "updatedAfter",
        "updatedBefore",
    ),
    ("GET", "/models"): ("type",),
    ("POST", "/uploads"): ("dryRun",),
}


def shown(method: str, path: str) -> Mapping[str, str]:
    """The parameters that the pages show, with what they do.

    Args:
        path: after the version.
    """
    if path.startswith("/generate/"):
        return _DRY_RUN
    if path.endswith("/events"):
        return {"paginationToken": _LISTED["paginationToken"]}
    return _SHOWN.get((method, path), {})


def unknown(request: Request) -> Iterator[str]:
    """The remarks for what the query has and its route does not read, with what may have been meant."""
    route: APIRoute = request.scope["route"]
    path = route.path.removeprefix(PREFIX)
    known = (*shown(request.method, path), *_ALSO_READ.get((request.method, path), ()), *_EVERYWHERE)

    def advice(name: str) -> str:
        found = closest(name, known)
        return f"did you mean {found}?" if found else "this request has no such query parameter."

    return query_not_used(request, advice, known)
