"""The edge listener on real Envoy: what is refused before the gateway sees it, and in which words."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.rigs.envoy_site import Site, running_site, shorten

MIB = 1024 * 1024
LIMIT = 24 * MIB


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The edge as it is."""
    async with running_site(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture(scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The edge with short timeouts."""
    async with running_site(tmp_path_factory.mktemp("hasty"), shorten) as running:
        yield running


async def test_the_largest_body_passes(site: Site) -> None:
    async with site.client.post(site.url("/largest"), data=bytes(LIMIT)) as reply:
        assert reply.status == 200
    assert site.gateway.seen[-1]["body"] == LIMIT


async def test_a_larger_body_is_refused_in_json_before_the_gateway_sees_it(site: Site) -> None:
    before = len(site.gateway.seen)
    async with site.client.post(
        site.url("/larger"), data=bytes(LIMIT + 1), headers={"expect": "100-continue"}
    ) as reply:
        assert reply.status == 413
        assert reply.content_type == "application/json"
        assert "24 MiB" in (await reply.json())["error"]
    assert len(site.gateway.seen) == before


async def test_a_larger_body_of_unknown_length_never_reaches_the_gateway_whole(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield bytes(MIB)

    try:
        async with site.client.post(site.url("/chunked"), data=endless()) as reply:
            assert reply.status == 413
    except aiohttp.ClientConnectionError:
        pass  # The refusal closes the connection, and a client still writing may see only that.
    record = site.gateway.seen[-1]
    assert record["path"] == "/chunked"
    assert not record["whole"]
    assert record["body"] <= LIMIT


async def test_slow_headers_are_cut(hasty: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.envoy.edge)
    before = len(hasty.gateway.seen)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 408")
    assert len(hasty.gateway.seen) == before
    writer.close()


async def test_a_slow_body_is_answered_408_in_json(hasty: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", hasty.envoy.edge)
    writer.write(b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nonly this")
    answer = await asyncio.wait_for(reader.read(), 10)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert b"application/json" in head
    assert "did not arrive" in json.loads(body)["error"]
    writer.close()


@pytest.mark.parametrize(
    ("sent", "seen"),
    [("/a/../b", "/b"), ("/a//b", "/a/b"), ("/a/%2e%2e/b", "/b"), ("/./b", "/b"), ("/a?x=/../y", "/a")],
)
async def test_the_gateway_sees_one_spelling_of_a_path(site: Site, sent: str, seen: str) -> None:
    async with site.client.get(site.url(sent)) as reply:
        assert reply.status == 200
    assert site.gateway.seen[-1]["path"] == seen


async def test_escaped_slashes_are_sent_back_to_be_asked_for_plainly(site: Site) -> None:
    before = len(site.gateway.seen)
    async with site.client.get(site.url("/a%2f..%2fb"), allow_redirects=False) as reply:
        assert (reply.status, reply.headers["location"]) == (307, "/b")
    assert len(site.gateway.seen) == before


async def test_underscores_in_header_names_are_refused_in_json(site: Site) -> None:
    before = len(site.gateway.seen)
    async with site.client.get(site.url("/"), headers={"x_forwarded_for": "1.2.3.4"}) as reply:
        assert reply.status == 400
        assert "underscores" in (await reply.json())["error"]
    assert len(site.gateway.seen) == before


async def test_headers_have_a_size(site: Site) -> None:
    async with site.client.get(site.url("/"), headers={"x-long": "x" * 40_000}) as reply:
        assert reply.status == 431
        assert "32 KiB" in (await reply.json())["error"]


async def test_a_connection_on_which_nothing_is_sent_lives_seconds(hasty: Site) -> None:
    """One that was used stays open, and others are answered meanwhile."""
    used_reader, used_writer = await asyncio.open_connection("127.0.0.1", hasty.envoy.edge)
    used_writer.write(b"GET /used HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert (await used_reader.readline()).startswith(b"HTTP/1.1 200")
    silent = [await asyncio.open_connection("127.0.0.1", hasty.envoy.edge) for _ in range(200)]
    # The first byte of a request is not a request.
    for _, writer in silent[:20]:
        writer.write(b"P")
    ends = asyncio.gather(*(reader.read() for reader, _ in silent), return_exceptions=True)
    # What had been sent and nobody read makes a reset of the end.
    assert all(end == b"" or isinstance(end, ConnectionResetError) for end in await asyncio.wait_for(ends, 10))
    used_writer.write(b"GET /again HTTP/1.1\r\nhost: localhost\r\n\r\n")
    while b"HTTP/1.1 200" not in (line := await asyncio.wait_for(used_reader.readline(), 5)):
        assert line
    for _, writer in (*silent, (used_reader, used_writer)):
        writer.close()
