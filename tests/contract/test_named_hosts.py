"""Hosts that clients name: webhooks' are looked up at once in every API, loopback's pictures need a lack of keys."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest

from controlmesh.v1 import generation_pb2
from gateway.rpc.servicer import Generations
from mesh.errors import InvalidInput
from mesh.pictures import encode
from tests.contract.conftest import Running, Start
from tests.rigs.mesh import served
from tests.rigs.ports import free_port

PICTURE = encode(np.zeros((64, 64, 3), np.uint8))
ALLOW = "CN_GATEWAY_WEBHOOK_ALLOW"
# Forbidden by its address, which only a look-up tells, and a name that nobody has.
HOSTS = ("http://localhost/hook", "http://LocalHost.:8080/hook", "https://no-such-host.invalid/hook")
PLACES = (
    ("POST", "/controlmesh/v1/generations", "webhook", {"prompt": "x"}, 422),
    ("POST", "/controlmesh/v1/webhook-endpoints", "url", {}, 422),
    ("POST", "/api/v1/enterprise/text2img", "webhook", {"prompt": "x", "model_id": "demo"}, 200),
    ("POST", "/api/v6/images/text2img", "webhook", {"prompt": "x", "model_id": "demo"}, 200),
    ("POST", "/v1/teams/t/webhook-endpoints", "url", {"enabledEvents": ["*"], "description": ""}, 400),
)


@pytest.mark.parametrize("url", HOSTS)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[1])
async def test_a_webhook_that_can_not_be_delivered_is_refused_when_it_is_named(
    shared: Running, place: tuple[str, str, str, dict[str, object], int], url: str
) -> None:
    method, path, field, body, status = place
    async with shared.http.request(method, path, json={**body, field: url}) as response:
        text = await response.text()
        assert response.status == status, text
        assert ALLOW in text and "8443" in text


async def test_an_endpoint_is_not_moved_there(shared: Running) -> None:
    path = "/controlmesh/v1/webhook-endpoints"
    async with shared.http.post(path, json={"url": "https://example.org/hook"}) as response:
        made = f"{path}/{(await response.json())['id']}"
    async with shared.http.patch(made, json={"url": HOSTS[0]}) as response:
        assert response.status == 422
    async with shared.http.get(made) as response:
        assert (await response.json())["url"] == "https://example.org/hook"


class Context:
    """A call without metadata."""

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def time_remaining(self) -> None:
        return None


@pytest.mark.parametrize("url", HOSTS)
async def test_a_webhook_over_grpc(shared: Running, url: str) -> None:
    asked = generation_pb2.SubmitJobRequest(generation=generation_pb2.GenerateRequest(prompt="x"), webhook=url)
    with pytest.raises(InvalidInput, match=ALLOW) as caught:
        await Generations(shared.gateway).SubmitJob(asked, Context())
    assert caught.value.field == "webhook"
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT


@asynccontextmanager
async def sending(content: bytes) -> AsyncIterator[int]:
    """A service on loopback that answers everything with `content`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def hint(mesh: Running, url: str, **headers: str) -> tuple[int, str]:
    body = {"kind": "canny", "image": url}
    async with mesh.http.post("/controlmesh/v1/hints", json=body, headers=headers) as response:
        return response.status, (await response.text() if response.status != 200 else "")


async def test_loopback_is_fetched_from_only_while_no_key_is_asked_for(start: Start) -> None:
    with served({"a.png": PICTURE}) as url:
        async with start(fetch_allow_keyless=("127.0.0.1:*",)) as mesh:
            assert await hint(mesh, f"{url}/a.png") == (200, "")
            mesh.gateway.keys.learn({}, ever=1)
            status, said = await hint(mesh, f"{url}/a.png")
            assert status == 401
        async with start(fetch_allow_keyless=("127.0.0.1:*",), api_keys=("mine",)) as mesh:
            status, said = await hint(mesh, f"{url}/a.png", Authorization="Bearer mine")
            assert status == 422 and "public" in said


@pytest.mark.parametrize("keys", [(), ("mine",)])
async def test_what_listens_on_loopback_can_not_be_told(start: Start, keys: tuple[str, ...]) -> None:
    """A closed port and a service that sends no picture: one text, where nothing is allowed there."""
    async with start(api_keys=keys) as mesh, sending(b'{"secret": 1}') as open_port:
        ports = (free_port(), open_port)
        answers = {await hint(mesh, f"http://127.0.0.1:{port}/x", Authorization="Bearer mine") for port in ports}
        assert len(answers) == 1
        ((status, said),) = answers
        assert status == 422 and "public" in said


async def test_base64_is_told_what_it_is(shared: Running) -> None:
    status, said = await hint(shared, base64.b64encode(b"no picture at all").decode())
    assert status == 422 and "cannot identify" in said
