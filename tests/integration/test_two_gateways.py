"""Two gateways on one database: whichever is asked, a job and an idempotency key are the same."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.rigs.jobs import database_url
from tests.rigs.ports import free_port
from tests.rigs.services import FakeRooms

GENERATIONS = "/controlmesh/v1/generations"


@asynccontextmanager
async def gateway(rooms: FakeRooms, url: str, files: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A process of its own, listening; killed at the end."""
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CN_")}
    environment = {
        **inherited,
        "CN_GATEWAY_ADDRESS": f"127.0.0.1:{port}",
        "CN_GATEWAY_GRPC_ADDRESS": f"127.0.0.1:{free_port()}",
        "CN_GATEWAY_MESH_ADDRESS": rooms.address,
        "CN_GATEWAY_DATABASE_URL": url,
        "CN_GATEWAY_STORAGE_URL": f"file://{files}",
        "CN_GATEWAY_PUBLIC_URL": "http://pictures.example.org",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    reading: asyncio.Task[None] | None = None
    try:
        async for line in process.stdout:
            if b"Uvicorn running" in line:
                break
        else:
            raise AssertionError("the gateway ended before it listened")
        reading = asyncio.create_task(_drain(process.stdout))
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            yield http
    finally:
        process.kill()
        await process.wait()
        if reading:
            await reading


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


async def post(http: aiohttp.ClientSession, body: dict[str, Any], wait: int = 60) -> tuple[int, Any]:
    headers = {"Idempotency-Key": "one"}
    async with http.post(f"{GENERATIONS}?wait={wait}", json=body, headers=headers) as response:
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_key_is_one_job_whichever_is_asked_and_its_events_come_from_both(kind: str, tmp_path: Path) -> None:
    body = {"prompt": "a boat", "steps": 2}
    async with AsyncExitStack() as stack:
        url = stack.enter_context(database_url(kind, tmp_path))
        rooms = await stack.enter_async_context(FakeRooms())
        # One after the other, as the first one makes the tables that the workflows are kept in.
        both = [await stack.enter_async_context(gateway(rooms, url, tmp_path / "files")) for _ in range(2)]
        rooms.pace.clear()
        asking = [asyncio.create_task(post(both[number % 2], body)) for number in range(50)]
        await rooms.seen.started.wait()
        status, seen = await post(both[1], body, wait=0)
        assert status == 202
        for http in both:
            async with http.get(f"{GENERATIONS}/{seen['id']}") as response:
                running = await response.json()
                assert running["status"] == "running" and running["started_at"] is not None
        watching = [asyncio.create_task(last_event(http, seen["id"])) for http in both]
        rooms.pace.set()
        answers = await asyncio.gather(*asking)
        assert answers[0][0] == 200 and answers[0][1]["id"] == seen["id"]
        assert all(answer == answers[0] for answer in answers)
        assert len(rooms.seen.denoised) == 1
        record = answers[0][1]
        for http in both:
            assert (await post(http, {**body, "seed": 1}))[0] == 409
            async with http.get(f"{GENERATIONS}/{record['id']}") as response:
                assert {**(await response.json()), "deliveries": None} == record
            async with http.get(GENERATIONS) as response:
                assert [one["id"] for one in (await response.json())["generations"]] == [record["id"]]
        assert await asyncio.gather(*watching) == [("result", record)] * 2


async def last_event(http: aiohttp.ClientSession, id: str) -> tuple[str, Any]:
    kind, data = "", None
    async with http.get(f"{GENERATIONS}/{id}/events") as response:
        async for line in response.content:
            name, _, value = line.decode().strip().partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                data = json.loads(value)
    return kind, data
