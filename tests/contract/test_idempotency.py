"""Idempotency keys over HTTP: the same request is the same job, another one under its key is refused."""

import asyncio
import json
import socket
from typing import Any

import pytest

from mesh.errors import InvalidInput
from tests.contract.conftest import Running, Start
from tests.contract.native.test_api import API, PICTURE

GENERATIONS = f"{API}/generations"
ENTERPRISE = "/api/v7/images/controlnet"
REQUESTS: dict[str, dict[str, Any]] = {
    GENERATIONS: {"prompt": "a boat", "steps": 2},
    "/": {"inputs": "a boat", "image": PICTURE, "controlnet_type": "canny_edge"},
    ENTERPRISE: {
        "key": "k", "model_id": "demo", "controlnet_model": "canny", "controlnet_type": "canny", "prompt": "a boat",
        "init_image": PICTURE, "auto_hint": "yes", "width": "64", "height": "64",
    },
}  # fmt: skip
REFUSED = {GENERATIONS: 409, "/": 400, ENTERPRISE: 409}


async def post(mesh: Running, path: str, body: Any, key: str = "one", **headers: str) -> tuple[int, Any]:
    headers = {"Idempotency-Key": key, "Content-Type": "application/json", **headers}
    sent = body if isinstance(body, str) else json.dumps(body)
    async with mesh.http.post(path, data=sent, headers=headers) as response:
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize("path", REQUESTS)
async def test_fifty_equal_requests_at_once_are_one_job_and_get_one_answer(mesh: Running, path: str) -> None:
    answers = await asyncio.gather(*(post(mesh, path, REQUESTS[path]) for _ in range(50)))
    assert answers[0][0] == 200 and all(answer == answers[0] for answer in answers)
    assert len(mesh.rooms.seen.denoised) == 1


@pytest.mark.parametrize("path", REQUESTS)
async def test_another_request_under_the_key_is_refused(mesh: Running, path: str) -> None:
    _, first = await post(mesh, path, REQUESTS[path])
    status, refused = await post(mesh, path, {**REQUESTS[path], "seed": 3})
    assert status == REFUSED[path] and "use a new one" in json.dumps(refused)
    assert await post(mesh, path, REQUESTS[path]) == (200, first), "the first one's answer is still there"
    assert (await post(mesh, path, {**REQUESTS[path], "seed": 3}, key="two"))[0] == 200
    assert len(mesh.rooms.seen.denoised) == 2


async def test_the_spelling_of_json_does_not_matter(mesh: Running) -> None:
    first = await post(mesh, GENERATIONS, '{"prompt": "a boat", "steps": 2}')
    assert await post(mesh, GENERATIONS, '{ "steps":2,\n "prompt": "a \\u0062oat" }') == first
    assert (await post(mesh, GENERATIONS, '{"prompt": "a boat", "steps": 3}'))[0] == 409


async def test_how_long_a_caller_waits_does_not_matter(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    status, record = await post(mesh, f"{GENERATIONS}?wait=0", {"prompt": "a boat"})
    assert status == 202
    again = asyncio.create_task(post(mesh, GENERATIONS, {"prompt": "a boat"}))
    await mesh.rooms.seen.started.wait()
    mesh.rooms.pace.set()
    status, done = await again
    assert (status, done["id"], done["status"]) == (200, record["id"], "succeeded")


async def test_a_failure_is_answered_again(mesh: Running) -> None:
    mesh.rooms.failure = InvalidInput("controls[0].image is broken", field="controls[0].image")
    first = await post(mesh, GENERATIONS, {"prompt": "a boat"})
    mesh.rooms.failure = None
    assert first[0] == 422 and await post(mesh, GENERATIONS, {"prompt": "a boat"}) == first
    assert len(mesh.rooms.seen.denoised) == 1


async def test_what_was_not_taken_is_not_remembered(start: Start) -> None:
    async with start(max_pictures=4, max_waiting=1) as mesh:
        assert (await post(mesh, GENERATIONS, {"prompt": "a boat", "steps": 0}))[0] == 422
        mesh.rooms.pace.clear()
        body = {"prompt": "x", "samples": 4}
        for number in range(2):
            assert (await post(mesh, f"{GENERATIONS}?wait=0", body, key=f"filling {number}"))[0] == 202
        assert (await post(mesh, GENERATIONS, {"prompt": "a boat"}))[0] == 429
        mesh.rooms.pace.set()
        await mesh.gateway.jobs.clear("anybody")
        assert (await post(mesh, GENERATIONS, {"prompt": "a boat"}))[0] == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "é"])
async def test_a_key_that_can_t_be_taken_is_named(mesh: Running, key: str) -> None:
    status, problem = await post(mesh, GENERATIONS, {"prompt": "a boat"}, key=key)
    assert (status, problem["field"]) == (422, "Idempotency-Key")
    assert (await post(mesh, GENERATIONS, {"prompt": "a boat"}, key="x" * 255))[0] == 200


async def test_one_key_stands_for_every_caller_and_dialect_apart(start: Start) -> None:
    async with start(api_keys=("mine", "yours")) as mesh:
        bodies = [(GENERATIONS, "mine"), (GENERATIONS, "yours"), ("/", "mine")]
        for path, owner in bodies:
            status, _ = await post(mesh, path, REQUESTS[path], Authorization=f"Bearer {owner}")
            assert status == 200
        assert len(mesh.rooms.seen.denoised) == 3


async def test_a_client_that_can_come_back_leaves_its_work_going_on(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    host, port = mesh.url.removeprefix("http://").split(":")
    body = json.dumps({"prompt": "a boat"})
    with socket.create_connection((host, int(port))) as client:
        lines = (
            f"POST {GENERATIONS} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            "Idempotency-Key: one",
            f"Content-Length: {len(body)}",
        )
        head = "\r\n".join(lines) + "\r\n\r\n"
        client.sendall((head + body).encode())
        async with asyncio.timeout(30):
            await mesh.rooms.seen.started.wait()
    again = asyncio.create_task(post(mesh, GENERATIONS, body))
    mesh.rooms.pace.set()
    assert (await again)[1]["status"] == "succeeded"
    assert len(mesh.rooms.seen.denoised) == 1 and not mesh.rooms.seen.cancelled.is_set()
