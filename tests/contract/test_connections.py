"""Requests on one connection have nothing in common: neither trace nor request id nor caller."""

import asyncio
import json

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from tests.contract.conftest import Running

REFUSED = json.dumps({"nothing": "A" * 200_000}).encode()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes, request_id: str = "") -> str:
    """The trace id in the refusal of a request whose body comes in pieces."""
    named = f"x-request-id: {request_id}\r\n" if request_id else ""
    writer.write(
        f"POST /v1/generate/txt2img HTTP/1.1\r\nhost: localhost\r\n{named}content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
    )
    for start in range(0, len(body), 16_384):
        writer.write(body[start : start + 16_384])
        await writer.drain()
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    lines = dict(line.split(": ", 1) for line in head.decode().lower().splitlines()[1:] if line)
    answer = json.loads(await reader.readexactly(int(lines["content-length"])))
    assert lines["x-request-id"] == request_id if request_id else lines["x-request-id"]
    return str(answer["trace_id"])


async def test_every_request_has_its_own_trace_after_large_bodies(mesh: Running) -> None:
    # The API lets a provider be set once in a process; whoever set it, it is a real one.
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    reader, writer = await asyncio.open_connection(*mesh.url.removeprefix("http://").split(":"))
    large = [await ask(reader, writer, REFUSED, f"large-{number}") for number in range(3)]
    small = [await ask(reader, writer, b"{}") for _ in range(20)]
    writer.close()
    assert len({*large, *small}) == 23


@pytest.mark.parametrize("pipelined", [b"", b"POST /v1/generate/txt2img HTTP/1.1\r\nhost: localhost\r\n\r\n"])
async def test_tasks_that_a_connection_starts_are_nobodys(mesh: Running, pipelined: bytes) -> None:
    """What the server runs for the connection itself sees no request's context."""
    reader, writer = await asyncio.open_connection(*mesh.url.removeprefix("http://").split(":"))
    await ask(reader, writer, REFUSED, "first")
    writer.write(pipelined + b"GET /v1/jobs/none HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    lines = (await asyncio.wait_for(reader.read(), 10)).decode().splitlines()
    seen = [line.partition(": ")[2] for line in lines if line.lower().startswith("x-request-id")]
    assert len(seen) == (2 if pipelined else 1)
    assert "first" not in seen and len(set(seen)) == len(seen)
