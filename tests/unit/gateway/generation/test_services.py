"""Services that hang: they take a connection, or a question, and never answer."""

import asyncio

from gateway.generation.services import SERVICES, Services


async def test_what_is_connected_and_silent_is_missing() -> None:
    """As a service that was stopped, or an Envoy between, whose kernel goes on taking connections."""
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda reader, writer: taken.append(writer), "127.0.0.1", 0)
    services = Services("{}:{}".format(*server.sockets[0].getsockname()))
    async with asyncio.timeout(5):
        assert await services.missing(0.3) == list(SERVICES)
    assert taken
    await services.close()
    for writer in taken:
        writer.close()
    server.close()
