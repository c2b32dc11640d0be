"""The enterprise dialect: what is not done yet, what failed, what was refused, in both modes."""

import asyncio
from typing import Any

import pytest

from gateway.dialects.enterprise.paths import PATHS
from mesh.errors import InvalidInput, Unavailable
from tests.contract.conftest import Running, Start
from tests.rigs.enterprise_client import META, NOT_READY, PATH, PROCESSING, SAMPLE, ask, poll, shaped


async def test_what_takes_longer_than_the_hold_is_polled(start: Start) -> None:
    async with start(enterprise_hold_s=0.05) as mesh:
        mesh.rooms.pace.clear()
        body = await ask(mesh, "/api/v5/controlnet", model_id="demo", enhance_prompt="no", num_inference_steps=2)
        shaped(body, PROCESSING)
        shaped(body["meta"], META)
        assert body["status"] == "processing" and body["output"] == "" and body["messege"] == body["message"]
        assert body["fetch_result"] == f"{mesh.url}/api/v6/images/fetch/{body['id']}" and body["eta"] >= 1
        async with mesh.http.get(body["future_links"][0]) as response:
            assert response.status == 404, "the link is known before the picture is there"
        polled = await poll(mesh, body)
        shaped(polled, NOT_READY)
        assert polled["status"] == "processing" and polled["message"] == "try again later."
        mesh.rooms.pace.set()
        async with asyncio.timeout(5):
            # Polling is what this dialect's clients do; it has no other way to tell.
            while (await poll(mesh, body))["status"] == "processing":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for path in PATHS["fetch"]:
            async with mesh.http.post(f"{path}/{body['id']}", json={"key": "k"}) as response:
                one = await response.json()
            async with mesh.http.post(path, json={"key": "k", "request_id": str(body["id"])}) as response:
                two = await response.json()
            async with mesh.http.get(f"{path}/{body['id']}?key=k") as response:
                three = await response.json()
            assert one == two == three
        shaped(one, {"status": str, "id": int, "output": list, "proxy_links": list, "future_links": list})
        assert one["status"] == "success" and one["output"] == body["future_links"]
        async with mesh.http.get(one["output"][0]) as response:
            assert response.status == 200


async def test_instant_response_answers_at_once_and_the_work_goes_on(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    body = await ask(mesh, model_id="demo", instant_response="yes")
    assert body["status"] == "processing" and body["fetch_result"].endswith(f"/api/v1/enterprise/fetch/{body['id']}")
    assert isinstance(body["eta"], int)
    await mesh.rooms.seen.started.wait()
    assert await mesh.gateway.jobs.load() == (1, 0)


async def test_a_failure_is_told_at_once_and_when_polled(start: Start) -> None:
    failed = {"status": str, "id": int, "message": str, "messege": str, "output": str, "tip": str}
    async with start() as mesh:
        mesh.rooms.failure = Unavailable("the model server does not answer")
        body = await ask(mesh, model_id="demo")
        shaped(body, failed)
        assert (body["status"], body["message"], body["output"]) == ("failed", "Failed, Try Again", "")
        assert body["tip"] == "the model server does not answer"
        async with mesh.http.post(f"/api/v3/fetch/{body['id']}", json={}) as response:
            assert await response.json() == body
        mesh.rooms.failure = InvalidInput("controls[0].image is broken", field="controls[0].image")
        body = await ask(mesh, model_id="demo")
        assert (body["status"], body["message"]) == ("error", "init_image is broken")


REQUIRED = {
    "prompt": "The prompt field is required.",
    "init_image": "The init image field is required.",
    "controlnet_model": "The controlnet model field is required.",
}


@pytest.mark.parametrize("field", REQUIRED)
@pytest.mark.parametrize("nothing", [None, "", "null"])
async def test_a_missing_field_is_named_in_an_object(mesh: Running, field: str, nothing: Any) -> None:
    body = await ask(mesh, **{"model_id": "demo", "controlnet_type": nothing, field: nothing})
    if field != "controlnet_model":
        body = await ask(mesh, **{"model_id": "demo", field: nothing})
    assert body == {"status": "error", "message": {field: [REQUIRED[field]]}, "messege": {field: [REQUIRED[field]]}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_id": "nope"}, "Model not found: nope"),
        ({"model_id": "../../etc"}, "Model not found: ../../etc"),
        (
            {"controlnet_model": "scribble"},
            "controlnet_model 'scribble' is not available here: model demo has no ControlNet of this kind; it has",
        ),
        (
            {"controlnet_model": "depth"},
            "controlnet_model 'depth' is not available here: its hint can't be extracted from a picture here: no ",
        ),
        ({"controlnet_model": ",".join(["canny"] * 6)}, "controlnet_model names 6 controls; at most 5 are taken"),
        ({"width": "wide"}, "The width must be a number from 64 to 1024, a multiple of 8."),
        ({"samples": {}}, "The samples must be a number from 1 to 4."),
        ({"auto_hint": "maybe"}, "The auto hint must be yes or no."),
        ({"init_image": "@@"}, "init_image is neither"),
        ({"init_image": "http://127.0.0.1:9/x.png"}, "unable to fetch the picture of init_image"),
        ({"prompt": "x" * 20_000}, "prompt has 20000 characters"),
        ({"prompt": []}, {"prompt": ["The prompt field is required."]}),
    ],
)
@pytest.mark.parametrize("mode", ["legacy", "strict"])
async def test_errors_have_one_body_and_the_status_of_the_mode(
    start: Start, mode: str, change: Any, words: Any
) -> None:
    async with start(enterprise_status=mode) as mesh:
        body = await ask(mesh, status=200 if mode == "legacy" else 400, **{"model_id": "demo", **change})
        assert set(body) == {"status", "message", "messege"} and body["message"] == body["messege"]
        assert body["status"] == "error"
        assert body["message"].startswith(words) if isinstance(words, str) else body["message"] == words
        # The newest version always tells by its status.
        await ask(mesh, "/api/v7/images/controlnet", status=400, **{"model_id": "demo", **change})


async def test_an_unknown_model_may_mean_the_default_one(start: Start) -> None:
    async with start(unknown_model="default") as mesh:
        body = await ask(mesh)
        assert body["status"] == "success" and "model_id 'midjourney' is not loaded; demo was used." in body["tip"]
        assert body["meta"]["model_id"] == "midjourney" and mesh.rooms.seen.prepared[0].model == "demo"


@pytest.mark.parametrize(("mode", "status"), [("legacy", 200), ("strict", 401)])
async def test_keys_in_the_body_in_headers_and_for_reading_in_the_query(start: Start, mode: str, status: int) -> None:
    async with start(api_keys=("good", "other"), enterprise_status=mode) as mesh:
        for key in ("", None, "bad"):
            body = await ask(mesh, status=status, key=key)
            assert (body["status"], body["message"]) == ("error", "Invalid Api Key") and body["tip"].startswith("1. ")
        body = await ask(mesh, model_id="demo", key="good")
        assert body["status"] == "success"
        for headers in ({"key": "good"}, {"Authorization": "Bearer good"}):
            sent = {**SAMPLE, "model_id": "demo", "key": ""}
            async with mesh.http.post(PATH, json=sent, headers=headers) as response:
                assert (await response.json())["status"] == "success"
        async with mesh.http.post(f"{PATH}?key=good", json={**SAMPLE, "key": ""}) as response:
            assert response.status == status, "a key in a URL is read for polling only"
        fetch = f"/api/v6/images/fetch/{body['id']}"
        async with mesh.http.get(f"{fetch}?key=good") as response:
            assert (await response.json())["status"] == "success"
        async with mesh.http.get(fetch) as response:
            assert (await response.json())["message"] == "Invalid Api Key"
        async with mesh.http.post(fetch, json={"key": "other"}) as response:
            assert (await response.json())["message"] == "Request not found", "another key's request"


@pytest.mark.parametrize("asked", ["1", "999999999", "x", "-1", "1e9", "１２３", "9" * 40])
async def test_an_unknown_request(mesh: Running, asked: str) -> None:
    async with mesh.http.post("/api/v6/images/fetch", json={"key": "k", "request_id": asked}) as response:
        body = await response.json()
        assert (response.status, body["status"], body["message"]) == (200, "error", "Request not found")
    async with mesh.http.post("/api/v7/images/fetch", json={"key": "k", "request_id": asked}) as response:
        assert response.status == 404


async def test_too_many_are_told_when_to_come_back(start: Start) -> None:
    for mode, status in (("legacy", 200), ("strict", 429)):
        async with start(max_pictures=4, max_waiting=1, enterprise_status=mode) as mesh:
            mesh.rooms.pace.clear()
            await ask(mesh, model_id="demo", samples=4, instant_response="yes")
            await mesh.rooms.seen.started.wait()
            await ask(mesh, model_id="demo", samples=4, instant_response="yes")
            body = await ask(mesh, status=status, model_id="demo", samples=4)
            assert (body["status"], body["message"], body["retry_after"]) == ("error", "Rate limit exceeded", 5)
            assert isinstance(body["tips"], str)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"prompt": NaN}', b'{"a":' * 100_000])
async def test_what_is_no_json_is_a_real_400(mesh: Running, body: bytes) -> None:
    async with mesh.http.post(PATH, data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 400 and (await response.json())["status"] == "error"


async def test_a_client_that_goes_away_takes_its_work_with_it(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    asking = asyncio.create_task(mesh.http.post(PATH, json={**SAMPLE, "model_id": "demo"}))
    await mesh.rooms.seen.started.wait()
    asking.cancel()
    await asyncio.wait_for(mesh.rooms.seen.cancelled.wait(), 1)
