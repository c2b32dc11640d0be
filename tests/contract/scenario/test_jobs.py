"""The Scenario dialect's jobs: on their way, cancelled, failed, in lists; keys; bounds."""

import base64
from typing import Any

import pytest

from mesh.errors import Unavailable
from tests.contract.conftest import Running, Start
from tests.rigs.scenario_client import (
    ASSET_ID,
    BODY,
    ERROR,
    FAILED,
    JOB,
    POLLED,
    SUBMITTED,
    ask,
    ended,
    made,
    shaped,
    submit,
)

KEY, OTHER = "a key of this deployment's, long enough", "another key of this deployment's"


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def test_a_job_is_answered_at_once_and_polled(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    answer = await submit(mesh, numInferenceSteps=4)
    shaped(answer, SUBMITTED)
    assert list(answer["job"])[:5] == ["jobId", "jobType", "status", "progress", "createdAt"]
    assert (answer["job"]["status"], answer["job"]["progress"]) == ("queued", 0)
    assert answer["job"]["statusHistory"] == [{"date": answer["job"]["createdAt"], "status": "queued"}]
    await mesh.rooms.seen.started.wait()
    id = answer["job"]["jobId"]
    job = (await ask(mesh, "GET", f"/v1/jobs/{id}"))["job"]
    shaped(job, JOB)
    assert (job["status"], job["metadata"]["assetIds"]) == ("in-progress", [])
    assert job["progress"] in (0, 0.25)
    mesh.rooms.pace.set()
    job = (await ended(mesh, answer))["job"]
    assert (job["status"], job["progress"], job["jobType"]) == ("success", 1, "inference")
    assert [entry["status"] for entry in job["statusHistory"]] == ["queued", "in-progress", "success"]
    assert job["updatedAt"] == job["statusHistory"][-1]["date"]


async def test_cancelling_stops_the_work(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    answer = await submit(mesh)
    await mesh.rooms.seen.started.wait()
    path = f"/v1/jobs/{answer['job']['jobId']}"
    body = await ask(mesh, "POST", f"{path}/action", {"action": "cancel"})
    shaped(body, POLLED)
    assert body["job"]["status"] == "canceled" and body["job"]["metadata"]["assetIds"] == []
    await mesh.rooms.seen.cancelled.wait()
    again = await ask(mesh, "POST", f"{path}/action", {"action": "cancel"})
    assert again == await ask(mesh, "GET", path) == body
    assert '"action" must be a string' in (await ask(mesh, "POST", f"{path}/action", {}, 400))["reason"]


async def test_a_failure_says_why_in_both_places(mesh: Running) -> None:
    mesh.rooms.failure = Unavailable("the model server does not answer")
    job = (await ended(mesh, await submit(mesh)))["job"]
    shaped(job, FAILED)
    assert job["status"] == "failure" and job["error"] == job["metadata"]["error"] == "the model server does not answer"
    assert [entry["status"] for entry in job["statusHistory"]][-1] == "failure"


async def test_answers_are_compact(mesh: Running) -> None:
    async with mesh.http.post("/v1/generate/controlnet", json=BODY) as response:
        text = await response.text()
    assert '":' in text and '": ' not in text and '", "' not in text


async def test_jobs_come_page_by_page(mesh: Running) -> None:
    ids = [(await made(mesh, "txt2img"))["jobId"] for _ in range(5)]
    ids.append((await made(mesh, "custom/demo"))["jobId"])
    seen: list[str] = []
    query = "?pageSize=4"
    while True:
        page = await ask(mesh, "GET", f"/v1/jobs{query}")
        seen += [job["jobId"] for job in page["jobs"]]
        if "nextPaginationToken" not in page:
            break
        query = f"?pageSize=4&paginationToken={page['nextPaginationToken']}"
    assert seen == ids[::-1]
    page = await ask(mesh, "GET", "/v1/jobs?types=inference&pageSize=3")
    assert [job["jobId"] for job in page["jobs"]] == ids[4:1:-1], "what does not fit takes no place"
    page = await ask(mesh, "GET", f"/v1/jobs?type=inference&pageSize=3&paginationToken={page['nextPaginationToken']}")
    assert [job["jobId"] for job in page["jobs"]] == ids[1::-1]


async def test_jobs_by_what_they_are(mesh: Running) -> None:
    hidden = await made(mesh, "txt2img", hideResults=True)
    shown = await made(mesh, "txt2img")
    for query, expected in (
        ("status=success", [shown, hidden]),
        ("status=failure", []),
        ("status=warming-up", []),
        ("hideResults=false", [shown]),
        ("hideResults=true", [shown, hidden]),
        ("types=custom,flux", []),
        ("authorId=user_anybody", [shown, hidden]),
        ("workflowId=x", []),
        (f"createdAfter={hidden['createdAt']}", [shown]),
        (f"updatedAfter={hidden['updatedAt']}", [shown]),
        ("createdAfter=2999-01-01T00:00:00.000Z", []),
    ):
        page = await ask(mesh, "GET", f"/v1/jobs?{query}")
        found = [job["jobId"] for job in page["jobs"]]
        wanted = [job["jobId"] for job in expected]
        # A job made within the same millisecond as it is asked from is no matter.
        assert [id for id in found if "After" not in query or id != hidden["jobId"]] == wanted, query


@pytest.mark.parametrize(
    "query",
    [
        "status=done",
        "pageSize=0",
        "pageSize=x",
        "pageSize=201",
        "createdAfter=soon",
        "hideResults=no",
        "paginationToken=x",
    ],
)
async def test_a_query_that_can_t_be_read(mesh: Running, query: str) -> None:
    body = await ask(mesh, "GET", f"/v1/jobs?{query}", status=400)
    shaped(body, ERROR)
    assert query.partition("=")[0] in body["reason"]


async def test_jobs_of_other_dialects_are_told_in_these_terms(mesh: Running) -> None:
    control = {"kind": "openpose", "image": BODY["controlImage"].partition(",")[2], "auto_hint": False, "weight": 0.5}
    asked = {"prompt": "a boat", "controls": [control], "width": 64, "height": 64, "seed": 7}
    async with mesh.http.post("/controlmesh/v1/generations", json=asked) as response:
        native = await response.json()
    body = await ask(mesh, "GET", f"/v1/jobs/job_{native['id']}")
    shaped(body, POLLED)
    sent = body["job"]["metadata"]["input"]
    assert (sent["prompt"], sent["modality"], sent["seed"], sent["type"]) == ("a boat", "pose:0.5", "7", "controlnet")
    assert body["asset"]["metadata"]["type"] == "inference-controlnet"
    assert [job["jobId"] for job in (await ask(mesh, "GET", "/v1/jobs"))["jobs"]] == [body["job"]["jobId"]]


@pytest.mark.parametrize(
    "headers",
    [
        basic("any key", KEY),
        basic("", KEY),
        basic(KEY, ""),
        {"Authorization": f"Bearer {KEY}"},
    ],
)
async def test_keys_are_taken_as_the_clients_send_them(start: Start, headers: dict[str, str]) -> None:
    async with start(api_keys=(KEY, OTHER)) as mesh:
        body = await ask(mesh, "POST", "/v1/generate/controlnet", BODY, **headers)
        path = f"/v1/jobs/{body['job']['jobId']}"
        await ask(mesh, "GET", path, **headers)
        other = basic("any key", OTHER)
        assert (await ask(mesh, "GET", path, status=404, **other))["reason"].endswith("not found")
        await ask(mesh, "POST", f"{path}/action", {"action": "cancel"}, 404, **other)
        assert (await ask(mesh, "GET", "/v1/jobs", **other)) == {"jobs": []}
        asset = body["job"]["metadata"]["input"]["controlImage"]
        assert ASSET_ID.fullmatch(asset)
        await ask(mesh, "GET", f"/v1/assets/{asset}", **headers)
        await ask(mesh, "GET", f"/v1/assets/{asset}", status=404, **other)
        stolen = {**BODY, "controlImage": asset}
        assert "not found" in (await ask(mesh, "POST", "/v1/generate/controlnet", stolen, 400, **other))["reason"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/generate/controlnet"),
        ("POST", "/v1/generate/detect"),
        ("POST", "/v1/generate/custom/demo"),
        ("POST", "/v1/generate/upscale"),
        ("GET", "/v1/jobs"),
        ("GET", "/v1/jobs/job_x"),
        ("POST", "/v1/jobs/job_x/action"),
        ("GET", "/v1/assets"),
        ("POST", "/v1/assets"),
        ("DELETE", "/v1/assets"),
        ("POST", "/v1/assets/get-bulk"),
        ("GET", "/v1/assets/asset_x"),
        ("POST", "/v1/uploads"),
        ("GET", "/v1/uploads/upload_x"),
        ("POST", "/v1/uploads/upload_x/action"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/demo"),
        ("POST", "/v1/models/get-bulk"),
        ("GET", "/v1/teams/t/webhook-endpoints"),
        ("POST", "/v1/teams/t/webhook-endpoints"),
        ("PUT", "/v1/teams/t/webhook-endpoints/x"),
        ("DELETE", "/v1/teams/t/webhook-endpoints/x"),
        ("GET", "/v1/teams/t/webhook-endpoints/x/events"),
        ("GET", "/v1/teams/t/webhook-endpoints/x/events/y"),
        ("GET", "/v1/projects/p/webhook-endpoints"),
    ],
)
async def test_every_route_asks_for_a_key(start: Start, method: str, path: str) -> None:
    async with start(api_keys=(KEY,)) as mesh:
        wrong: tuple[dict[str, str], ...] = (
            {},
            basic("a", "wrong"),
            {"Authorization": "Basic %%%"},
            basic(KEY, "wrong"),
        )
        for headers in wrong:
            async with mesh.http.request(method, path, json={}, headers=headers) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"].startswith("Basic ")
                body: dict[str, Any] = await response.json()
                shaped(body, ERROR)
                assert body["reason"] == "Unauthorized"


async def test_too_many_jobs_are_refused_with_the_seconds_to_wait(start: Start) -> None:
    async with start(max_pictures=4, max_waiting=1) as mesh:
        mesh.rooms.pace.clear()
        await submit(mesh, numSamples=4)
        await mesh.rooms.seen.started.wait()
        await submit(mesh)
        async with mesh.http.post("/v1/generate/controlnet", json=BODY) as response:
            assert response.status == 429
            body = await response.json()
            shaped(body, {**ERROR, "remainingSeconds": int})
            assert response.headers["Retry-After"] == str(body["remainingSeconds"])
        mesh.rooms.pace.set()


async def test_what_is_not_enabled_is_not_tried_again(mesh: Running) -> None:
    async with mesh.http.post("/v1/generate/remove-background", json={}) as response:
        assert (response.status, response.headers["x-should-retry"]) == (501, "false")


async def test_a_service_that_is_away_is_told_in_the_shape(mesh: Running) -> None:
    await mesh.rooms.stop()
    body = await submit(mesh, status=503)
    shaped(body, ERROR)


async def test_the_same_request_under_one_key_is_one_job(mesh: Running) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = [await ask(mesh, "POST", "/v1/generate/controlnet", BODY, **headers) for _ in range(2)]
    assert first["job"]["jobId"] == second["job"]["jobId"]
    other = {**BODY, "prompt": "something else"}
    shaped(await ask(mesh, "POST", "/v1/generate/controlnet", other, 409, **headers), ERROR)


@pytest.mark.parametrize(
    "asked",
    [
        "jobs?pageSize=1&types=x&type=x&status=success&createdAfter=2026-01-01&updatedAfter=2026-01-01&hideResults=false"
        "&paginationToken=&authorId=x&workflowId=x&projectId=x",
        "assets?pageSize=1&types=x&type=x&inferenceId=x&modelId=x&createdAfter=2026-01-01&createdBefore=2026-01-01"
        "&updatedAfter=2026-01-01&updatedBefore=2026-01-01&sortBy=createdAt&sortDirection=asc&authorId=x"
        "&collectionId=x&privacy=public&deleted=true&projectId=x",
        "models?pageSize=1&types=x&type=x&projectId=x",
    ],
)
async def test_parameters_that_are_read_are_not_called_unknown(shared: Running, asked: str) -> None:
    async with shared.http.get(f"/v1/{asked}") as answer:
        assert (answer.status, answer.headers.get("X-ControlMesh-Notes")) == (200, None), await answer.text()
    async with shared.http.get(f"/v1/{asked}&" + "&".join(f"x{number}=1" for number in range(20))) as answer:
        assert "15 more query parameters were not used" in answer.headers["X-ControlMesh-Notes"]
