"""A gateway on a real socket, over rooms in small."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import uvicorn

from gateway.app.application import make_app
from gateway.bootstrap import Gateway, open_gateway
from gateway.dialects.table import VOICES
from gateway.server import HTTP
from tests.rigs.dialect_settings import split
from tests.rigs.services import FakeRooms


@dataclass(frozen=True)
class Running:
    """A gateway that serves: its client session (relative URLs), its rooms, its parts, its base URL."""

    http: aiohttp.ClientSession
    rooms: FakeRooms
    gateway: Gateway
    url: str


Start = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Running]:
    """A gateway with `settings` on a free port."""
    async with FakeRooms() as rooms, serving(rooms, **{"mesh_address": rooms.address, **settings}) as served:
        yield served


@asynccontextmanager
async def serving(rooms: Any, **settings: Any) -> AsyncIterator[Running]:
    """A gateway with `settings` on a free port, over `rooms`, which are at `mesh_address`."""
    own, of_dialects = split(settings)
    async with open_gateway(own, VOICES) as gateway:
        config = uvicorn.Config(make_app(gateway, of_dialects), port=0, **HTTP)
        server = uvicorn.Server(config)
        listening = asyncio.Event()
        startup = server.startup

        async def start(sockets: Any = None) -> None:
            await startup(sockets)
            listening.set()

        server.startup = start
        serving = asyncio.create_task(server._serve())
        await listening.wait()
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        async with aiohttp.ClientSession(url) as http:
            yield Running(http, rooms, gateway, url)
        # uvicorn's own way out waits for its next tick, which would be most of the time of most tests.
        for socket in server.servers:
            socket.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@pytest.fixture
def start() -> Start:
    """Starts gateways with settings of the test's own."""
    return running


@pytest.fixture
async def mesh() -> AsyncIterator[Running]:
    """A gateway with default settings."""
    async with running() as served:
        yield served


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Running]:
    """One for all tests of a file that look at nothing but how they are answered."""
    async with running() as served:
        yield served
