"""While the records' PostgreSQL is away every dialect says so in its own shape, and when to come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import grpc
import pytest

from controlmesh.v1 import generation_pb2, generation_pb2_grpc
from gateway.rpc.servicer import Generations
from mesh.interceptors import CallInterceptor
from tests.contract.conftest import Running, running
from tests.rigs import enterprise_client, huggingface_client, scenario_client
from tests.rigs.jobs import eventually
from tests.rigs.postgres import postgres

NATIVE = "/controlmesh/v1/generations"
BOAT = {"prompt": "a boat", "steps": 2}
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "native, queued": (f"{NATIVE}?wait=0", BOAT),
    "native": (f"{NATIVE}?wait=60", BOAT),
    "enterprise": (enterprise_client.PATH, {**enterprise_client.SAMPLE, "model_id": "demo"}),
    "scenario": (f"{scenario_client.GENERATE}/controlnet", scenario_client.BODY),
    "huggingface": ("/", huggingface_client.PAYLOAD),
}
SHAPES: dict[str, set[str]] = {
    "native, queued": {"type", "title", "status", "detail", "retry_after"},
    "native": {"type", "title", "status", "detail", "retry_after"},
    "enterprise": {"status", "message", "messege", "retry_after"},
    "scenario": {"reason", "message", "trace_id"},
    "huggingface": {"error"},
}


async def is_ready(mesh: Running) -> bool:
    """Whether /readyz says so; its answer is kept for a second."""
    async with mesh.http.get("/readyz") as ready:
        return ready.status == 200


@asynccontextmanager
async def grpc_of(mesh: Running) -> AsyncIterator[Any]:
    """A stub of the gateway's gRPC face."""
    server = grpc.aio.server(interceptors=[CallInterceptor()])
    generation_pb2_grpc.add_GenerationServiceServicer_to_server(Generations(mesh.gateway), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield generation_pb2_grpc.GenerationServiceStub(channel)
    await server.stop(None)


async def ask(mesh: Running, name: str) -> tuple[int, str | None, Any]:
    """Status, Retry-After and body of a submission."""
    path, body = REQUESTS[name]
    async with mesh.http.post(path, json=body, timeout=aiohttp.ClientTimeout(60)) as response:
        content = await response.json(content_type=None) if response.content_type.endswith("json") else None
        return response.status, response.headers.get("Retry-After"), content


@pytest.mark.parametrize("enterprise_status", ["legacy", "strict"])
async def test_submissions_are_refused_while_it_is_away_and_taken_when_it_is_back(enterprise_status: str) -> None:
    with postgres() as server:
        settings = {"database_url": server.new_database(), "enterprise_status": enterprise_status}
        async with running(**settings) as mesh, grpc_of(mesh) as stub:
            boat = generation_pb2.SubmitJobRequest(generation=generation_pb2.GenerateRequest(prompt="a boat"))
            _, _, taken = await ask(mesh, "native, queued")
            await asyncio.to_thread(server.stop)

            for name, shape in SHAPES.items():
                status, retry_after, body = await ask(mesh, name)
                quietly = name == "enterprise" and enterprise_status == "legacy"
                assert (status, retry_after) == (200 if quietly else 503, "2"), name
                assert set(body) == shape, name
            async with mesh.http.get(f"{NATIVE}/{taken['id']}") as polled:
                assert (polled.status, polled.headers["Retry-After"]) == (503, "2")
                assert polled.content_type == "application/problem+json"
            async with mesh.http.get("/readyz") as ready:
                assert (ready.status, await ready.json()) == (503, {"ready": False, "missing": ["database"]})
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.SubmitJob(boat)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            assert dict(refused.value.trailing_metadata() or ())["retry-after-s"] == "2"

            await asyncio.to_thread(server.start)
            await eventually(lambda: is_ready(mesh))
            for name in REQUESTS:
                status, _, body = await ask(mesh, name)
                assert status in (200, 202), (name, body)
            assert (await stub.SubmitJob(boat)).job.id

            async def all_succeeded() -> bool:
                async with mesh.http.get(f"{NATIVE}?limit=50") as response:
                    jobs = (await response.json())["generations"]
                # What was refused left nothing.
                assert len(jobs) == 1 + len(REQUESTS) + 1
                return {job["status"] for job in jobs} == {"succeeded"}

            await eventually(all_succeeded)
