"""One key's flood leaves room and turns to another's, in every dialect, and each dialect says so in its own shape."""

import asyncio
import base64
from typing import Any

import numpy as np
import pytest

from gateway.generation.generation import Generation
from gateway.jobs.job import Order
from mesh.errors import InvalidInput
from mesh.pictures import encode
from tests.contract.conftest import Running, Start

FLOOD, OTHER = "flood-" + 40 * "f", "other-" + 40 * "o"
KEYS = {"api_keys": (FLOOD, OTHER)}
SMALL = {"max_pictures": 4, "max_waiting": 8}
PICTURE = encode(np.full((64, 64, 3), 9, np.uint8))
BASE64 = base64.b64encode(PICTURE).decode()
DATA_URL = f"data:image/png;base64,{BASE64}"
TEXT = {"prompt": "a boat", "steps": 2}
JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "native": ("/controlmesh/v1/generations?wait=0", {"prompt": "a boat", "samples": 4}),
    "native, held": ("/controlmesh/v1/generations", {"prompt": "a boat"}),
    "enterprise": ("/api/v1/enterprise/text2img", {"prompt": "a boat", "model_id": "demo", "samples": 4}),
    "scenario": ("/v1/generate/txt2img", {"prompt": "a boat", "modelId": "demo"}),
    "huggingface": ("/", {"inputs": "a boat", "image": BASE64, "controlnet_type": "canny_edge"}),
}
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "native": ("/controlmesh/v1/assets", {"image": BASE64}),
    "enterprise": ("/api/v6/base64_to_url", {"base64_string": BASE64}),
    "scenario": ("/v1/assets", {"name": "a.png", "image": DATA_URL}),
    "scenario, upload": (
        "/v1/uploads",
        {"kind": "image", "fileName": "a.png", "fileSize": 100, "parts": 1, "contentType": "image/png"},
    ),
}


async def post(mesh: Running, key: str, path: str, body: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
    sent = {**body, "key": key} if path.startswith("/api/") else body
    async with mesh.http.post(path, json=sent, headers={"Authorization": f"Bearer {key}"}) as response:
        said = await response.json() if "json" in response.content_type else await response.read()
        return response.status, said, dict(response.headers)


async def fill(mesh: Running) -> int:
    """Let the flood take all that it may; returns how many of its jobs were taken."""
    mesh.rooms.pace.clear()
    path, body = JOBS["native"]
    status, _, _ = await post(mesh, FLOOD, path, body)
    assert status == 202
    await mesh.rooms.seen.started.wait()
    answers = await asyncio.gather(*(post(mesh, FLOOD, path, body) for _ in range(20)))
    return 1 + sum(status == 202 for status, _, _ in answers)


async def test_the_flood_is_told_so_in_every_dialect_and_others_are_taken(start: Start) -> None:
    async with start(**KEYS, **SMALL, enterprise_status="strict") as mesh:
        # One runs; alone it may have half of the waiting places.
        assert await fill(mesh) == 1 + 4
        for name, (path, body) in JOBS.items():
            status, said, headers = await post(mesh, FLOOD, path, body)
            assert status == 429, name
            assert int(headers["Retry-After"]) >= 1, name
            words = {
                "native": lambda said: (said["type"].endswith("/overloaded"), said["detail"]),
                "enterprise": lambda said: (said["message"] == "Rate limit exceeded", said["tips"]),
                "scenario": lambda said: (said["remainingSeconds"] == 5, said["reason"]),
                "huggingface": lambda said: (set(said) == {"error"}, said["error"]),
            }[name.partition(",")[0]](said)
            assert words[0] and "4 of your generations are already waiting" in words[1], name
        assert (await post(mesh, OTHER, *JOBS["native"]))[0] == 202
        held = asyncio.create_task(post(mesh, OTHER, *JOBS["huggingface"]))
        mesh.rooms.pace.set()
        assert (await held)[0] == 200


async def test_a_caller_who_waits_goes_before_the_rest_of_the_flood(start: Start) -> None:
    async with start(**KEYS, **SMALL) as mesh:
        await fill(mesh)
        before = len(mesh.rooms.seen.prepared)
        held = asyncio.create_task(post(mesh, OTHER, "/controlmesh/v1/generations", {"prompt": "urgent"}))

        async with asyncio.timeout(10):
            while (await mesh.gateway.jobs.load())[1] < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        mesh.rooms.pace.set()
        assert (await held)[0] == 200
        begun = [request.prompt for request in mesh.rooms.seen.prepared[before:]]
        assert "urgent" in begun[:2]


async def test_without_keys_all_places_are_everybody_s(start: Start) -> None:
    async with start(**SMALL) as mesh:
        assert await fill(mesh) == 1 + 8


async def test_a_setting_lets_one_owner_have_more(start: Start) -> None:
    async with start(**KEYS, **SMALL, owner_waiting=0) as mesh:
        assert await fill(mesh) == 1 + 8


async def test_hints_are_shared_as_well(start: Start) -> None:
    async with start(**KEYS, max_hints=1) as mesh:
        mesh.rooms.hint_pace.clear()
        asked = "/controlmesh/v1/hints", {"kind": "canny", "image": BASE64}
        flood = [asyncio.create_task(post(mesh, FLOOD, *asked)) for _ in range(12)]
        done: set[asyncio.Task[Any]] = set()
        while len(done) < 7:
            done |= (await asyncio.wait({*flood} - done, return_when=asyncio.FIRST_COMPLETED))[0]
        for status, said, headers in (task.result() for task in done):
            assert (status, said["type"]) == (429, "/controlmesh/v1/problems/overloaded")
            assert "of your hints are already waiting" in said["detail"] and headers["Retry-After"]
        other = asyncio.create_task(post(mesh, OTHER, *asked))
        mesh.rooms.hint_pace.set()
        assert (await other)[0] == 200
        assert sorted([(await task)[0] for task in flood]) == [200] * 5 + [429] * 7


@pytest.mark.parametrize("name", FILES)
async def test_a_full_share_of_the_store_is_told_in_every_dialect(start: Start, name: str) -> None:
    async with start(**KEYS, owner_bytes=50, enterprise_status="strict") as mesh:
        path, body = FILES[name]
        for key in (FLOOD, OTHER):
            status, said, _ = await post(mesh, key, path, body)
            assert status == 429
            assert "0 of 50 bytes" in str(said)
        async with mesh.http.get("/controlmesh/v1/assets", headers={"Authorization": f"Bearer {FLOOD}"}) as response:
            assert (await response.json())["assets"] == []


async def test_pictures_sent_with_a_request_count_too(start: Start) -> None:
    async with start(**KEYS, owner_bytes=50) as mesh:
        body = {"prompt": "a boat", "controls": [{"kind": "canny", "image": BASE64}]}
        status, said, _ = await post(mesh, FLOOD, "/controlmesh/v1/generations", body)
        assert (status, said["title"]) == (429, "Too many requests")
        assert (await post(mesh, FLOOD, "/controlmesh/v1/generations", TEXT))[0] == 200


async def test_records_are_bounded_by_number_and_by_size(start: Start) -> None:
    async with start(**KEYS, owner_records=2, enterprise_status="strict") as mesh:
        for expected in (200, 200, 429):
            status, said, _ = await post(mesh, FLOOD, "/controlmesh/v1/generations", TEXT)
            assert status == expected
        assert "on record" in said["detail"]
        assert (await post(mesh, OTHER, "/controlmesh/v1/generations", TEXT))[0] == 200
        long = Order(Generation(prompt="a boat", model="demo"), "somebody", echo={"input": {"x": "x" * 2_000_000}})
        with pytest.raises(InvalidInput, match="text has 2000"):
            await mesh.gateway.jobs.submit(long)
