"""Work that nobody wants any more stops, whatever engine runs it: deadline, hanging up, cancelling."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from controlmesh.v1 import generation_pb2, generation_pb2_grpc
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Filter, Job, Status
from gateway.rpc import servicer as grpc_face
from mesh.interceptors import CallInterceptor
from tests.contract.conftest import Running, running
from tests.rigs.jobs import ENGINES, eventually
from tests.rigs.postgres import Server, postgres

GENERATIONS = "/controlmesh/v1/generations"

Open = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture(params=ENGINES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens a gateway over rooms in small, with records of that kind."""
    urls = {"process": "", "sqlite": f"sqlite:///{tmp_path}/records.db"}
    if request.param == "postgresql":
        urls["postgresql"] = request.getfixturevalue("server").new_database()
    return partial(running, database_url=urls[request.param])


async def only(jobs: JobEngine) -> Job:
    """The one job that there is."""
    (job,) = (await jobs.page("anybody", Filter(), 9)).jobs
    return job


async def ended(mesh: Running, status: Status) -> None:
    """Wait until the work is taken from the rooms and the one record says so."""
    await asyncio.wait_for(mesh.rooms.seen.cancelled.wait(), 30)

    async def is_final() -> bool:
        return (await only(mesh.gateway.jobs)).is_finished

    await eventually(is_final)
    assert (await only(mesh.gateway.jobs)).status == status


@asynccontextmanager
async def face(mesh: Running) -> AsyncIterator[Any]:
    """The gRPC face of a gateway."""
    server = grpc.aio.server(interceptors=[CallInterceptor()])
    generation_pb2_grpc.add_GenerationServiceServicer_to_server(grpc_face.Generations(mesh.gateway), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield generation_pb2_grpc.GenerationServiceStub(channel)
    await server.stop(None)


async def test_the_deadline_of_a_client_stops_the_work(opened: Open) -> None:
    async with opened() as mesh, face(mesh) as stub:
        mesh.rooms.pace.clear()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [_ async for _ in stub.Generate(generation_pb2.GenerateRequest(prompt="a boat"), timeout=1.0)]
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        await ended(mesh, Status.CANCELLED)


async def test_a_client_that_hangs_up_stops_the_work(opened: Open) -> None:
    async with opened() as mesh:
        mesh.rooms.pace.clear()
        host, port = mesh.url.removeprefix("http://").split(":")
        body = json.dumps({"prompt": "a boat"})
        with socket.create_connection((host, int(port))) as client:
            kind = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            client.sendall(f"POST {GENERATIONS} HTTP/1.1\r\n{kind}\r\n\r\n{body}".encode())
            async with asyncio.timeout(30):
                await mesh.rooms.seen.started.wait()
        await ended(mesh, Status.CANCELLED)


@pytest.mark.parametrize("when", ["queued", "running", "finished"])
async def test_cancelling(opened: Open, when: str) -> None:
    async with opened(max_pictures=4) as mesh:
        if when == "queued":
            mesh.rooms.pace.clear()
            async with mesh.http.post(f"{GENERATIONS}?wait=0", json={"prompt": "all places", "samples": 4}) as first:
                assert first.status == 202
            await mesh.rooms.seen.started.wait()
        if when == "running":
            mesh.rooms.pace.clear()
        async with mesh.http.post(f"{GENERATIONS}?wait={30 * (when == 'finished')}", json={"prompt": "x"}) as response:
            place = response.headers["Location"]
        if when == "running":
            await mesh.rooms.seen.started.wait()
        async with mesh.http.delete(place) as response:
            now = (await response.json())["status"]
        assert now == ("succeeded" if when == "finished" else "cancelled")
        if when == "running":
            await ended(mesh, Status.CANCELLED)
        if when == "queued":
            # It never reaches the rooms, not even when there is room again.
            mesh.rooms.pace.set()

            async def first_is_done() -> bool:
                page = await mesh.gateway.jobs.page("anybody", Filter(statuses=(Status.SUCCEEDED,)), 9)
                return len(page.jobs) == 1

            await eventually(first_is_done)
            async with mesh.http.post(GENERATIONS, json={"prompt": "after it"}) as response:
                assert response.status == 200
            assert [asked.prompt for asked in mesh.rooms.seen.prepared] == ["all places", "after it"]
        async with mesh.http.get(place) as response:
            assert (await response.json())["status"] == now
