"""Documentation of the Scenario dialect's routes: what each takes and answers. Handlers read requests themselves."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.dialects.scenario.declared import STEMS
from gateway.dialects.scenario.routes import ROUTES

_JOB = "job_6b1f0c2a9d3e4f5061728394a5b6c7d8"
_ASSET = "asset_0b4e722dab209f9845aee673ca22667b"
_AT = "2026-11-20T10:00:00.000Z"
_PICTURE = "data:image/png;base64,..."
_ASKED = {
    "prompt": "a red star on a white background",
    "modelId": "demo",
    "width": 128,
    "height": 128,
    "numInferenceSteps": 20,
    "guidance": 3,
    "seed": "7",
}
_CONTROL = {"controlImage": _PICTURE, "modality": "canny:0.8"}
_STARTS = {"image": _ASSET, "strength": 0.75}
_COST = {"creativeUnitsCost": 0, "creativeUnitsDiscount": 0}
_JOB_BODY = {
    "jobId": _JOB,
    "jobType": "inference",
    "status": "success",
    "progress": 1,
    "createdAt": _AT,
    "updatedAt": _AT,
    "authorId": "user_anybody",
    "ownerId": "proj_anybody",
    "statusHistory": [{"date": _AT, "status": "queued"}, {"date": _AT, "status": "success"}],
    "metadata": {
        "input": {**_ASKED, "controlImage": _ASSET, "modality": "canny:0.8", "type": "controlnet"},
        "assetIds": [_ASSET],
    },
    "billing": {"cuCost": 0, "cuDiscount": 0},
}
_SUBMITTED = {
    "job": {
        **_JOB_BODY,
        "jobType": "controlnet",
        "status": "queued",
        "progress": 0,
        "statusHistory": [{"date": _AT, "status": "queued"}],
        "metadata": {"input": {**_ASKED, "controlImage": _ASSET, "modality": "canny:0.8"}, "assetIds": []},
    },
    **_COST,
}
_ASSET_BODY = {
    "id": _ASSET,
    "url": "https://mesh.example/controlmesh/v1/assets/0b4e722dab209f9845aee673ca22667b.png?expires=...&signature=...",
    "mimeType": "image/png",
    "kind": "image",
    "status": "success",
    "privacy": "private",
    "source": "inference-control-net",
    "ownerId": "proj_anybody",
    "authorId": "user_anybody",
    "createdAt": _AT,
    "updatedAt": _AT,
    "tags": [],
    "collectionIds": [],
    "editCapabilities": ["DETECTION"],
    "metadata": {
        "kind": "image",
        "type": "inference-controlnet",
        "width": 128,
        "height": 128,
        "parentJobId": _JOB,
        "prompt": _ASKED["prompt"],
        "seed": "7",
    },
    "properties": {"size": 4408, "width": 128, "height": 128},
}
_UPLOAD = {"kind": "image", "fileName": "a.png", "fileSize": 4408, "contentType": "image/png", "parts": 1}
_UPLOAD_BODY = {
    "id": "upload_2e9d8e65a9ee9476fbb21825afd6e8ef",
    "kind": "image",
    "source": "multipart",
    "status": "imported",
    "fileName": "a.png",
    "entityId": _ASSET,
}
_MODEL = {"id": "demo", "name": "demo", "type": "sd-1_5", "status": "trained"}
_ENDPOINT = {"id": "ep_1", "url": "https://example.org/hook", "enabled": True, "enabledEvents": ["*"]}

_EVENT = {
    "id": "msg_1",
    "endpointId": "ep_1",
    "status": "success",
    "type": "generation.completed",
    "updatedAt": _AT,
}

_EXAMPLES: Mapping[tuple[str, str], tuple[Any, Any]] = {
    **{
        ("POST", f"/generate/{route.name}"): (
            _ASKED
            | (_CONTROL if route.controlled else {})
            | (_STARTS if route.starts else {})
            | ({"mask": _PICTURE} if route.masked else {}),
            _SUBMITTED,
        )
        for route in ROUTES.values()
    },
    ("POST", "/generate/detect"): ({"image": _ASSET, "modality": "canny", "lowThreshold": 50}, _SUBMITTED),
    ("POST", "/generate/custom/{model_id}"): (
        {"prompt": _ASKED["prompt"], "controlImage": _ASSET, "controlModality": "canny", "controlStrength": 0.8},
        _SUBMITTED,
    ),
    ("GET", "/jobs"): (None, {"jobs": [_JOB_BODY], "nextPaginationToken": "..."}),
    ("GET", "/jobs/{id}"): (None, {"job": _JOB_BODY, "asset": _ASSET_BODY, **_COST}),
    ("POST", "/jobs/{id}/action"): ({"action": "cancel"}, {"job": {**_JOB_BODY, "status": "canceled"}, **_COST}),
    ("GET", "/assets"): (None, {"assets": [_ASSET_BODY], "nextPaginationToken": "..."}),
    ("POST", "/assets"): ({"name": "a.png", "image": _PICTURE}, {"asset": _ASSET_BODY}),
    ("DELETE", "/assets"): ({"assetIds": [_ASSET]}, {}),
    ("POST", "/assets/get-bulk"): ({"assetIds": [_ASSET]}, {"assets": [_ASSET_BODY]}),
    ("GET", "/assets/{id}"): (None, {"asset": _ASSET_BODY}),
    ("POST", "/uploads"): (_UPLOAD, {"upload": {**_UPLOAD_BODY, "status": "pending", "parts": []}, **_COST}),
    ("GET", "/uploads/{id}"): (None, {"upload": _UPLOAD_BODY}),
    ("POST", "/uploads/{id}/action"): ({"action": "complete"}, {"upload": _UPLOAD_BODY}),
    ("GET", "/models"): (None, {"models": [_MODEL]}),
    ("GET", "/models/{id}"): (None, {"model": {**_MODEL, "inputs": [{"name": "prompt", "type": "string"}]}}),
    ("POST", "/models/get-bulk"): ({"modelIds": ["demo"]}, {"models": [_MODEL]}),
    **{
        (method, f"{stem}{path}"): shown
        for stem in STEMS
        for (method, path), shown in {
            ("GET", ""): (None, {"webhookEndpoints": [_ENDPOINT]}),
            ("POST", ""): (
                {"url": _ENDPOINT["url"], "enabledEvents": ["*"], "description": "all jobs"},
                {"webhookEndpoint": {**_ENDPOINT, "secret": "whsec_..."}},
            ),
            ("PUT", "/{id}"): ({"enabled": False}, {"webhookEndpoint": _ENDPOINT}),
            ("DELETE", "/{id}"): (None, {}),
            ("GET", "/{id}/events"): (None, {"items": [_EVENT], "nextPaginationToken": "..."}),
            ("GET", "/{id}/events/{event_id}"): (
                None,
                {
                    "webhookEvent": {
                        **_EVENT,
                        "attempts": [{"responseStatusCode": 200, "sentAt": _AT}],
                        "createdAt": _AT,
                        "sentAt": _AT,
                        "payload": {"job": _JOB_BODY},
                    }
                },
            ),
        }.items()
    },
}
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
    asked, answer = _EXAMPLES[method, path]
    queries = _DRY_RUN if path.startswith("/generate/") else _QUERIES.get((method, path), {})
    if path.endswith("/events"):
        queries = {"paginationToken": _LISTED["paginationToken"]}
    parameters = [_parameter(name, "path", "") for name in re.findall(r"{(\w+)}", path)]
    parameters += [_parameter(name, "query", words) for name, words in queries.items()]
    body = {} if asked is None else {"requestBody": {"required": True, "content": _json(asked)}}
    return {
        "openapi_extra": {"parameters": parameters, **body},
        "responses": {
            200: {"description": "Done.", "content": _json(answer)},
            400: {"description": "The request can't be served as it is written.", "content": _json(_WRONG)},
        },
    }


def _parameter(name: str, place: str, words: str) -> dict[str, Any]:
    required = {"required": True} if place == "path" else {"description": words}
    return {"name": name, "in": place, "schema": {"type": "string"}, **required}


def _json(example: Any) -> dict[str, Any]:
    return {"application/json": {"example": example}}
