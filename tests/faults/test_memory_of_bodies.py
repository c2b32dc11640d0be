"""A whole gateway process: what bodies without a key make it grow by."""

import asyncio
import contextlib
from pathlib import Path

import aiohttp
import psutil

from tests.rigs.enterprise_client import PATH as ENTERPRISE
from tests.rigs.gateway_process import environment, free_address, serving
from tests.rigs.services import FakeRooms

MIB = 1 << 20
LARGE = 23 * MIB


async def stranger(address: str, body: bytes, announced: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that announced a body and sent `body` of it, or as much as was taken."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {ENTERPRISE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {announced}\r\n\r\n".encode())
    with contextlib.suppress(OSError):
        for begin in range(0, len(body), MIB):
            writer.write(body[begin : begin + MIB])
            await writer.drain()
    return reader, writer


async def test_no_number_of_bodies_without_a_key_makes_the_process_large(tmp_path: Path) -> None:
    address, inside = free_address(), free_address()
    async with FakeRooms() as rooms:
        environ = environment(
            tmp_path,
            CN_GATEWAY_ADDRESS=address,
            CN_GATEWAY_GRPC_ADDRESS=inside,
            CN_GATEWAY_PUBLIC_ADDRESS=address,
            CN_GATEWAY_MESH_ADDRESS=rooms.address,
            CN_GATEWAY_API_KEYS="configured-" + 40 * "c",
            CN_GATEWAY_BODY_PORTION_S="60",
        )
        async with serving(environ), aiohttp.ClientSession(f"http://{address}") as http:
            (process,) = (one for one in psutil.Process().children() if "gateway" in one.cmdline())
            async with http.get("/healthz") as response:
                assert response.status == 200
            before = process.memory_info().rss
            # Objects that nobody asked for.
            reader, writer = await stranger(address, b'{"a":[' + b"[]," * (LARGE // 3), LARGE + 100)
            assert b" 400 " in await asyncio.wait_for(reader.readline(), 30)
            writer.close()
            nested = process.memory_info().rss - before
            # Bodies that don't end.
            held = b'{"a":"' + b"x" * LARGE
            strangers = await asyncio.gather(*(stranger(address, held, LARGE + MIB) for _ in range(30)))
            async with http.get("/healthz") as response:
                assert response.status == 200
            grown = process.memory_info().rss - before
            for _, writer in strangers:
                writer.close()
    # One such body is within the share of an address; thirty of them are not.
    assert nested < 20 * MIB and grown < 4 * LARGE, f"{nested / MIB:.0f} and {grown / MIB:.0f} MiB"
