"""Whatever a client of the Scenario dialect sends is answered in its shape, and never with a fault of ours."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.contract.conftest import Running, Start
from tests.contract.test_hostile_requests import VALUES, spoiled
from tests.rigs.scenario_client import BODY, DATA_URL, ERROR, ask, ended, shaped, submit

HOSTILE = [
    *VALUES,
    "canny:0.5,depth:0.5",
    "canny:" + "9" * 400,
    "asset_" + "0" * 32,
    "asset_../../x",
    "2026-13-01",
    "*",
]
REQUESTS: dict[str, dict[str, Any]] = {
    "POST /v1/generate/controlnet-inpaint": {
        **BODY,
        "image": DATA_URL,
        "mask": DATA_URL,
        "strength": 0.5,
        "negativePrompt": "fog",
        "scheduler": "DDIM",
        "seed": "7",
        "controlStart": 0.1,
        "controlEnd": 0.9,
        "disableModalityDetection": True,
        "hideResults": False,
        "concepts": [],
        "numInferenceSteps": 1,
    },
    "POST /v1/generate/custom/demo": {"prompt": "x", "controlImage": DATA_URL, "controlModality": "canny", "seed": 1},
    "POST /v1/generate/detect": {"image": DATA_URL, "modality": "canny", "lowThreshold": 10, "removeBackground": False},
    "POST /v1/jobs/job_00000000000000000000000000000000/action": {"action": "cancel"},
    "POST /v1/assets": {"name": "a.png", "image": DATA_URL},
    "POST /v1/assets/get-bulk": {"assetIds": ["asset_x"]},
    "DELETE /v1/assets": {"assetIds": ["asset_x"]},
    "POST /v1/uploads": {"kind": "image", "fileName": "a", "fileSize": 10, "contentType": "image/png", "parts": 1},
    "POST /v1/uploads/upload_00000000000000000000000000000000/action": {"action": "complete"},
    "POST /v1/models/get-bulk": {"modelIds": ["demo"], "minimal": True},
    "POST /v1/teams/t/webhook-endpoints": {"url": "https://e.example/", "enabledEvents": ["*"], "description": "x"},
}
QUERIES = {
    "/v1/jobs": ("status", "types", "pageSize", "paginationToken", "createdAfter", "updatedAfter", "hideResults"),
    "/v1/assets": ("types", "pageSize", "paginationToken", "sortBy", "createdAfter", "createdBefore", "inferenceId"),
    "/v1/models": ("types", "pageSize", "paginationToken", "projectId"),
}


@pytest.mark.parametrize("route", REQUESTS)
async def test_no_spoiled_body_is_a_fault_of_ours(mesh: Running, route: str) -> None:
    rng, (method, path) = random.Random(7), route.split()
    refused = 0
    for _ in range(150):
        body: Any = REQUESTS[route]
        for _ in range(rng.randint(1, 3)):
            body = spoiled(rng, body)
        try:
            request = mesh.http.request(method, path, json=body)
        except ValueError:
            continue
        async with request as response:
            assert response.status in (200, 400, 404, 429, 501), (body, await response.text())
            answer = await response.json()
            if response.status >= 400 and response.status != 429:
                refused += 1
                shaped(answer, ERROR)
                text = await response.text()
                assert len(text) < 4000 and "Traceback" not in text
    assert refused > 20


@pytest.mark.parametrize("field", REQUESTS["POST /v1/generate/controlnet-inpaint"])
async def test_no_value_of_a_field_is_a_fault_of_ours(shared: Running, field: str) -> None:
    for value in HOSTILE:
        body = {**REQUESTS["POST /v1/generate/controlnet-inpaint"], field: value}
        try:
            request = shared.http.post("/v1/generate/controlnet-inpaint", json=body)
        except ValueError:
            continue
        async with request as response:
            answer = await response.json()
            assert response.status in (200, 400, 404, 429), (value, answer)
            if response.status in (400, 404):
                shaped(answer, ERROR)
                assert field in answer["reason"] or "Model" in answer["reason"], (value, answer)


@pytest.mark.parametrize("path", QUERIES)
async def test_no_query_is_a_fault_of_ours(mesh: Running, path: str) -> None:
    for name in QUERIES[path]:
        for value in HOSTILE:
            if not isinstance(value, str | int | float) or isinstance(value, bool) or len(str(value)) > 2000:
                continue
            async with mesh.http.get(path, params={name: str(value)}) as response:
                assert response.status in (200, 400), (name, value, await response.text())
                if response.status == 400:
                    shaped(await response.json(), ERROR)


@pytest.mark.parametrize(
    "id", ["job_x", "asset_x", "%00", "..%2f..%2fetc", "x" * 3000, "job_" + "0" * 32, "ep_%20", "é"]
)
@pytest.mark.parametrize("path", ["/v1/jobs/", "/v1/assets/", "/v1/uploads/", "/v1/models/"])
async def test_no_id_is_a_fault_of_ours(shared: Running, path: str, id: str) -> None:
    async with shared.http.get(path + id) as response:
        assert response.status == 404
        assert len(await response.text()) < 1000


async def test_what_is_no_json_is_refused_in_the_shape(shared: Running) -> None:
    for content in (b"", b"[]", b"nul", b"\xff", b'{"a":NaN}', b"[" * 5000):
        async with shared.http.post("/v1/generate/controlnet", data=content) as response:
            assert response.status == 400
            shaped(await response.json(), ERROR)


async def test_a_body_that_is_too_large_is_refused_in_the_shape(start: Start) -> None:
    large = {**BODY, "prompt": "x" * 2000}
    async with start(max_body_bytes=1000) as mesh, mesh.http.post("/v1/generate/controlnet", json=large) as response:
        assert response.status == 413
        shaped(await response.json(), ERROR)


async def test_another_process_tells_the_same_of_a_job(start: Start, tmp_path: Path) -> None:
    """Nothing that an answer needs is in the memory of the process that took the request."""
    place = {"database_url": f"sqlite:///{tmp_path}/records.db", "storage_url": f"file://{tmp_path}/files"}
    async with start(**place, public_url="http://mesh.example") as mesh:
        body = await ended(mesh, await submit(mesh, numSamples=8, concepts=[1], hideResults=True))
    async with start(**place, public_url="http://mesh.example") as mesh:
        again = await ask(mesh, "GET", f"/v1/jobs/{body['job']['jobId']}")
    assert again == body
