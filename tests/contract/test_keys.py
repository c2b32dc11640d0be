"""Keys in requests: each dialect's way to carry them, and its words for a key that won't do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from controlmesh.v1 import generation_pb2, generation_pb2_grpc
from gateway.database.connection import open_database
from gateway.keys import records as key_records
from gateway.keys.keys import digest_of
from gateway.keys.limits import WRONG_KEYS_PER_MINUTE
from gateway.keys.records import NewKey
from gateway.rpc import servicer as grpc_face
from mesh.interceptors import CallInterceptor
from tests.contract.conftest import Running, Start
from tests.rigs.carried_keys import CARRIED, NATIVE, Carried
from tests.rigs.enterprise_client import PATH as ENTERPRISE
from tests.rigs.enterprise_client import SAMPLE

KEY = "cm_" + 43 * "k"


@asynccontextmanager
async def gateway(start: Start, **limits: Any) -> AsyncIterator[tuple[Running, str]]:
    """A gateway with one recorded key."""
    async with start(enterprise_status="strict") as mesh:
        new = NewKey("x", "acme", **limits)
        record, key = await mesh.gateway.database.run(lambda connection: key_records.create(connection, new))
        mesh.gateway.keys.learn({digest_of(key): record.holder}, ever=1)
        yield mesh, key


@pytest.mark.parametrize("carried", CARRIED.values(), ids=CARRIED)
async def test_a_key_opens_where_its_dialect_has_it(start: Start, carried: Carried) -> None:
    async with gateway(start) as (mesh, key):
        status, _, _ = await carried.ask(mesh.http, key)
        # The polled request never was.
        assert status == (404 if "fetch" in carried.path else 200)
        for wrong in (KEY, key[:-1]):
            status, text, _ = await carried.ask(mesh.http, wrong)
            assert status == 401 and carried.words in text and wrong not in text


@pytest.mark.parametrize("carried", CARRIED.values(), ids=CARRIED)
async def test_a_key_that_asks_too_often_is_told_when_to_come_back(start: Start, carried: Carried) -> None:
    async with gateway(start, requests_per_minute=2) as (mesh, key):
        # A minute may turn in between; then one more is taken.
        answers = [await carried.ask(mesh.http, key) for _ in range(4)]
        assert 429 not in [status for status, _, _ in answers[:2]]
        status, text, headers = answers[-1]
        assert status == 429 and 1 <= int(headers["Retry-After"]) <= 60
        assert "2 requests per minute" in text


@pytest.mark.parametrize("path", [NATIVE, "/", ENTERPRISE, "/v1/generate/txt2img"])
async def test_a_key_in_a_url_opens_nothing_that_makes_something(start: Start, path: str) -> None:
    async with gateway(start) as (mesh, key):
        body = {**SAMPLE, "key": "", "model_id": "demo", "inputs": "a boat"}
        for query in ("key", "api_key", "token", "access_token", "Authorization"):
            async with mesh.http.post(f"{path}?{query}={key}", json=body) as response:
                assert response.status == 401


async def test_guessing_is_stopped_and_the_holder_of_a_key_is_not(start: Start) -> None:
    async with gateway(start) as (mesh, key):
        native, poll = CARRIED["native, Bearer"], CARRIED["enterprise, polling by GET"]
        statuses = [(await native.ask(mesh.http, f"guess {number}"))[0] for number in range(WRONG_KEYS_PER_MINUTE + 2)]
        assert set(statuses[:WRONG_KEYS_PER_MINUTE]) == {401} and statuses[-1] == 429
        status, _, headers = await poll.ask(mesh.http, "guess")
        assert status == 429 and 1 <= int(headers["Retry-After"]) <= 60
        assert (await native.ask(mesh.http, key))[0] == 200
        async with mesh.http.post(NATIVE, json={"prompt": "a boat"}) as response:
            assert response.status == 401, "no key is no guess"


async def test_an_owner_s_queue_has_the_bound_of_its_keys(start: Start) -> None:
    async with start(api_keys=(KEY,), max_pictures=4) as mesh:
        new = NewKey("x", "acme", most_waiting=1)
        record, key = await mesh.gateway.database.run(lambda connection: key_records.create(connection, new))
        mesh.gateway.keys.learn({digest_of(key): record.holder}, ever=1)
        mesh.rooms.pace.clear()

        async def begin(key: str) -> int:
            headers, body = {"Authorization": f"Bearer {key}"}, {"prompt": "a boat", "samples": 4}
            async with mesh.http.post(f"{NATIVE}?wait=0", json=body, headers=headers) as response:
                return response.status

        assert await begin(key) == 202
        await mesh.rooms.seen.started.wait()
        assert [await begin(key) for _ in range(3)] == [202, 429, 429]
        assert await begin(KEY) == 202, "others have room"


async def test_over_grpc_a_key_is_bounded_the_same_way(start: Start) -> None:
    request = generation_pb2.GenerateRequest(prompt="a boat")
    async with gateway(start, requests_per_minute=2) as (mesh, key):
        server = grpc.aio.server(interceptors=[CallInterceptor()])
        generation_pb2_grpc.add_GenerationServiceServicer_to_server(grpc_face.Generations(mesh.gateway), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = generation_pb2_grpc.GenerationServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                for _ in range(4):
                    async for _ in stub.Generate(request, metadata=(("authorization", f"Bearer {key}"),)):
                        pass
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert 1 <= float(dict(refused.value.trailing_metadata() or ())["retry-after-s"]) <= 60
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                async for _ in stub.Generate(request, metadata=(("authorization", f"Bearer {KEY}"),)):
                    pass
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        await server.stop(None)


async def test_what_another_process_makes_and_revokes_is_known_soon(start: Start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.db"
    carried = CARRIED["Scenario, Bearer"]
    async with start(database_url=url) as mesh, asyncio.timeout(30):
        assert (await carried.ask(mesh.http, "x"))[0] == 200, "without any key none is asked for"
        with open_database(url) as elsewhere:
            record, key = elsewhere.run_here(lambda connection: key_records.create(connection, NewKey("x")))
            await _until(mesh, lambda: carried.ask(mesh.http, "x"), 401)
            assert (await carried.ask(mesh.http, key))[0] == 200
            elsewhere.run_here(lambda connection: key_records.revoke(connection, record.holder.key_id))
            await _until(mesh, lambda: carried.ask(mesh.http, key), 401)
            assert (await carried.ask(mesh.http, "x"))[0] == 401, "the last key is revoked: nobody is let in"


async def _until(mesh: Running, ask: Callable[[], Any], status: int) -> None:
    while (await ask())[0] != status:
        await mesh.gateway.database.run(key_records.mark)
