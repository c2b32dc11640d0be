"""A whole gateway process: it asks for the keys that its command line made, and tells nobody what they are."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import grpc
import pytest

from controlmesh.v1 import generation_pb2, generation_pb2_grpc
from mesh.errors import InternalError
from tests.rigs.carried_keys import CARRIED, NATIVE
from tests.rigs.enterprise_client import PATH as ENTERPRISE
from tests.rigs.enterprise_client import SAMPLE
from tests.rigs.gateway_process import command, environment, free_address, serving
from tests.rigs.services import FakeRooms

CONFIGURED = "configured-" + 40 * "c"
WRONG = "wrong-" + 40 * "w"


def kept(folder: Path) -> list[bytes]:
    """Every file under `folder`."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
async def rooms() -> AsyncIterator[FakeRooms]:
    async with FakeRooms() as rooms:
        yield rooms


async def test_keys_stand_in_no_log_no_answer_no_file_and_no_metric(rooms: FakeRooms, tmp_path: Path) -> None:
    address, inside = free_address(), free_address()
    environ = environment(
        tmp_path,
        CN_GATEWAY_ADDRESS=address,
        CN_GATEWAY_GRPC_ADDRESS=inside,
        CN_GATEWAY_PUBLIC_ADDRESS=address,
        CN_GATEWAY_MESH_ADDRESS=rooms.address,
        CN_GATEWAY_API_KEYS=CONFIGURED,
        CN_GATEWAY_ENTERPRISE_STATUS="strict",
        CN_LOG_LEVEL="debug",
    )
    code, key, _ = await command(environ, "keys", "create", "--name", "app", "--scope", "admin")
    key = key.strip()
    assert code == 0 and len(key) == 46
    answers: list[str] = []
    async with serving(environ) as log, aiohttp.ClientSession(f"http://{address}") as http:
        opened = []
        for sent in (key, CONFIGURED, WRONG):
            for carried in CARRIED.values():
                status, text, headers = await carried.ask(http, sent)
                opened.append((sent, status != 401))
                answers += [text, str(headers)]
            answers += await _badly(http, sent)
            answers.append(await _over_grpc(inside, sent))
        assert set(opened) == {(key, True), (CONFIGURED, True), (WRONG, False)}
        # Jobs that fail in ways that nobody foresaw end up in logs and records.
        rooms.failure = InternalError("the room is on fire")
        answers += [(await CARRIED["enterprise, in the body"].ask(http, sent))[1] for sent in (key, CONFIGURED)]
        async with http.get("/metrics") as response:
            answers.append(await response.text())
    files = kept(tmp_path)
    assert len("".join(log)) > 1000 and '"route"' in "".join(log) and files
    for secret in (key, CONFIGURED, WRONG):
        assert secret not in "".join(log)
        assert not [text for text in answers if secret in text]
        assert not [content for content in files if secret.encode() in content]
    _, listed, _ = await command(environ, "keys", "list")
    assert " app " in listed and key not in listed


async def _badly(http: aiohttp.ClientSession, key: str) -> list[str]:
    """Requests that go wrong on the way, with the key in odd places."""
    found = []
    headers = {"Authorization": f"Bearer {key}", "key": key, "Content-Type": "application/json"}
    for method, path, content in (
        ("POST", ENTERPRISE, f'{{"key": "{key}", '.encode()),
        ("POST", ENTERPRISE, f'{{"key": ["{key}"], "model_id": {{}}}}'.encode()),
        ("POST", NATIVE, f'{{"prompt": "x", "key": "{key}"}}'.encode()),
        ("POST", f"/nowhere?key={key}", b""),
        ("PATCH", f"{NATIVE}?key={key}", b""),
        ("GET", f"{NATIVE}/{'0' * 32}?api_key={key}", b""),
    ):
        async with http.request(method, path, data=content, headers=headers) as response:
            found.append(await response.text())
    async with http.post(ENTERPRISE, data={**{k: str(v) for k, v in SAMPLE.items()}, "key": key}) as response:
        found.append(await response.text())
    return found


async def _over_grpc(address: str, key: str) -> str:
    async with grpc.aio.insecure_channel(address) as channel:
        call = generation_pb2_grpc.GenerationServiceStub(channel).Generate(
            generation_pb2.GenerateRequest(prompt="a boat"), metadata=(("authorization", f"Bearer {key}"),)
        )
        try:
            return str([message async for message in call])
        except grpc.aio.AioRpcError as refused:
            return f"{refused} {refused.trailing_metadata()}"


async def test_beyond_loopback_it_starts_with_a_key_alone(rooms: FakeRooms, tmp_path: Path) -> None:
    _, port = free_address().split(":")
    environ = environment(
        tmp_path,
        CN_GATEWAY_ADDRESS=f"0.0.0.0:{port}",
        CN_GATEWAY_GRPC_ADDRESS=free_address(),
        CN_GATEWAY_MESH_ADDRESS=rooms.address,
    )
    code, _, err = await command(environ)
    last = err.strip().splitlines()[-1]
    assert code == 1 and last.startswith(f"CN_GATEWAY_ADDRESS=0.0.0.0:{port} can be reached") and "keys create" in last
    assert "Traceback" not in err
    _, key, _ = await command(environ, "keys", "create", "--name", "app")
    async with serving(environ), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        native = CARRIED["native, Bearer"]
        assert (await native.ask(http, "x"))[0] == 401 and (await native.ask(http, key.strip()))[0] == 200
