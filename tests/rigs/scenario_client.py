"""A client of the Scenario dialect: the shapes of its answers, key by key, and a way to ask that needs no pause."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mesh.pictures import encode
from tests.contract.conftest import Running

CONTENT = encode(np.zeros((64, 96, 3), np.uint8))
PICTURE = base64.b64encode(CONTENT).decode()
DATA_URL = f"data:image/png;base64,{PICTURE}"
GENERATE = "/v1/generate"
OWNER = "anybody"
NUMBER = (int, float)


def grey(level: int) -> bytes:
    """A picture that can be told from others."""
    return encode(np.full((64, 64, 3), level, np.uint8))


def data_url(content: bytes) -> str:
    """`content`, a PNG file, as clients send it."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


BODY: dict[str, Any] = {
    "prompt": "a superhero in a dynamic pose",
    "controlImage": DATA_URL,
    "modality": "canny:0.5",
    "numSamples": 1,
    "guidance": 3.5,
    "numInferenceSteps": 4,
    "modelId": "demo",
    "width": 128,
    "height": 128,
}


@dataclass(frozen=True)
class Maybe:
    """A key that may be missing."""

    shape: Any


DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
JOB_ID, ASSET_ID = re.compile(r"job_[0-9a-zA-Z]{20,}"), re.compile(r"asset_[0-9a-zA-Z]{20,}")
URL = re.compile(r"https?://\S+")
STATUS = re.compile("pending|queued|warming-up|in-progress|finalizing|success|failure|canceled")
JOB: dict[str, Any] = {
    "jobId": JOB_ID,
    "jobType": str,
    "status": STATUS,
    "progress": NUMBER,
    "createdAt": DATE,
    "updatedAt": DATE,
    "authorId": str,
    "ownerId": str,
    "statusHistory": [{"date": DATE, "status": STATUS}],
    "metadata": {"input": dict, "assetIds": [ASSET_ID], "hint": Maybe(str)},
    "billing": {"cuCost": NUMBER, "cuDiscount": NUMBER},
}
FAILED: dict[str, Any] = {**JOB, "metadata": {**JOB["metadata"], "error": str}, "error": str}
COST = {"creativeUnitsCost": NUMBER, "creativeUnitsDiscount": NUMBER}
SUBMITTED = {"job": JOB, **COST}
ASSET: dict[str, Any] = {
    "id": ASSET_ID,
    "url": URL,
    "mimeType": str,
    "kind": str,
    "status": str,
    "privacy": str,
    "source": str,
    "ownerId": str,
    "authorId": str,
    "createdAt": DATE,
    "updatedAt": DATE,
    "tags": list,
    "collectionIds": list,
    "editCapabilities": list,
    "metadata": {
        "kind": str,
        "type": str,
        "width": int,
        "height": int,
        **{name: Maybe(str) for name in ("fileName", "name", "parentJobId", "parentId", "prompt", "negativePrompt")},
        **{name: Maybe(str) for name in ("modelId", "scheduler", "seed", "modality")},
        **{name: Maybe(NUMBER) for name in ("guidance", "numInferenceSteps", "strength")},
    },
    "properties": {"size": int, "width": int, "height": int},
}
POLLED = {"job": JOB, "asset": Maybe(ASSET), **COST}
MODEL = {
    "id": str,
    "name": str,
    "type": str,
    "status": str,
    "source": str,
    "privacy": str,
    "custom": bool,
    "shortDescription": str,
    "capabilities": [str],
    "collectionIds": list,
    "exampleAssetIds": list,
    "tags": list,
    "trainingImagesNumber": int,
    "authorId": str,
    "ownerId": str,
    "createdAt": DATE,
    "updatedAt": DATE,
    "inputs": [dict],
}
UPLOAD = {
    "id": str,
    "kind": str,
    "source": str,
    "status": re.compile("pending|validating|validated|imported|failed"),
    "fileName": str,
    "originalFileName": str,
    "fileSize": int,
    "contentType": str,
    "partsCount": int,
    "parts": [{"number": int, "url": URL, "expires": DATE}],
    "config": dict,
    "authorId": str,
    "ownerId": str,
    "createdAt": DATE,
    "updatedAt": DATE,
    "entityId": Maybe(ASSET_ID),
    "errorMessage": Maybe(str),
}
ENDPOINT = {
    "id": str,
    "url": str,
    "enabled": bool,
    "enabledEvents": [str],
    "description": Maybe(str),
    "nbFailedCalls": int,
    "nbTotalCalls": int,
    "ownerId": str,
    "ownerType": str,
    "createdAt": DATE,
    "updatedAt": DATE,
}
ERROR = {"reason": str, "message": str, "trace_id": str}


def shaped(value: Any, shape: Any, at: str = "") -> None:
    """`value` has exactly the keys of `shape`, each of its type or pattern; a bool is no number."""
    if isinstance(shape, Maybe):
        shaped(value, shape.shape, at)
    elif isinstance(shape, dict):
        assert isinstance(value, dict), (at, value)
        must = {name for name, kind in shape.items() if not isinstance(kind, Maybe)}
        assert must <= set(value) <= set(shape), (at, must - set(value), set(value) - set(shape))
        for name in value:
            shaped(value[name], shape[name], f"{at}.{name}")
    elif isinstance(shape, list):
        assert isinstance(value, list), (at, value)
        for index, one in enumerate(value):
            shaped(one, shape[0], f"{at}[{index}]")
    elif isinstance(shape, re.Pattern):
        assert isinstance(value, str) and shape.fullmatch(value), (at, value)
    else:
        assert isinstance(value, shape) and (shape is bool or not isinstance(value, bool)), (at, value)


async def ask(
    mesh: Running, method: str, path: str, body: Any = None, status: int = 200, **headers: str
) -> dict[str, Any]:
    """The answer as JSON."""
    async with mesh.http.request(method, path, json=body, headers=headers) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"
        answer: dict[str, Any] = await response.json()
        return answer


async def submit(mesh: Running, path: str = "controlnet", status: int = 200, **change: Any) -> dict[str, Any]:
    """The answer to a request for pictures like BODY; a field that is changed to None is not sent."""
    body = {name: value for name, value in {**BODY, **change}.items() if value is not None}
    return await ask(mesh, "POST", f"{GENERATE}/{path}", body, status)


async def ended(mesh: Running, answer: Mapping[str, Any], owner: str = OWNER) -> dict[str, Any]:
    """The poll of a job after its end."""
    id = answer["job"]["jobId"]
    job = await mesh.gateway.jobs.wait(id.removeprefix("job_"), owner, 20)
    assert job.is_finished
    return await ask(mesh, "GET", f"/v1/jobs/{id}")


async def made(mesh: Running, path: str = "controlnet", **change: Any) -> dict[str, Any]:
    """The job of a request that succeeded."""
    body = await ended(mesh, await submit(mesh, path, **change))
    shaped(body, POLLED)
    assert body["job"]["status"] == "success", body
    job: dict[str, Any] = body["job"]
    return job


async def refused(mesh: Running, path: str = "controlnet", status: int = 400, **change: Any) -> str:
    """The reason for which a request was not taken."""
    body = await submit(mesh, path, status, **change)
    shaped(body, ERROR)
    assert body["reason"] == body["message"]
    reason: str = body["reason"]
    return reason
