"""The edge listener on real Envoy: what reaches the gateway, what is refused before it, and in which words."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.integration.envoy_rig import Envoy, eventually, free_port, manager, running_envoy, running_http

MIB = 1024 * 1024
LIMIT = 24 * MIB


@dataclass
class Gateway:
    """A tiny ASGI app in the gateway's place, which remembers what reached it."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if path != "/healthz":
            self.seen.append({"path": path, "headers": headers, "body": 0, "whole": False})
            record = self.seen[-1]
        if path == "/stuck":
            await self._wait_for_disconnect(receive)
            return
        if path == "/controlmesh/v1/generations/abc/events":
            await self._events(send)
            return
        while path != "/healthz":
            message = await receive()
            record["body"] += len(message.get("body", b""))
            if message["type"] == "http.disconnect":
                return
            if not message.get("more_body"):
                record["whole"] = True
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"from the gateway"})

    async def _events(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        await self.release.wait()
        await send({"type": "http.response.body", "body": b"data: last\n\n"})

    async def _wait_for_disconnect(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()


@dataclass
class Site:
    """Envoy with a gateway behind it, and a client in front."""

    envoy: Envoy
    gateway: Gateway
    client: aiohttp.ClientSession
    gateway_port: int

    def url(self, path: str) -> URL:
        return URL(f"http://127.0.0.1:{self.envoy.edge}{path}", encoded=True)


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The edge as it is."""
    port, gateway = free_port(), Gateway()
    async with (
        running_http(gateway, port),
        running_envoy(tmp_path_factory.mktemp("edge"), {"gateway": [port]}) as envoy,
        aiohttp.ClientSession() as client,
    ):
        yield Site(envoy, gateway, client, port)


@pytest.fixture(scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The edge with the same timeouts at a length that a test can wait for."""

    def shorten(bootstrap: dict[str, Any]) -> None:
        edge = manager(bootstrap, "edge")
        assert edge["request_headers_timeout"] == "5s"
        assert edge["request_timeout"] == "60s"
        edge.update(request_headers_timeout="0.5s", request_timeout="1s")
        *_, last = edge["route_config"]["virtual_hosts"][0]["routes"]
        assert last["route"]["timeout"] == "310s"
        last["route"]["timeout"] = "1s"

    port, gateway = free_port(), Gateway()
    async with (
        running_http(gateway, port),
        running_envoy(tmp_path_factory.mktemp("hasty"), {"gateway": [port]}, shorten) as envoy,
        aiohttp.ClientSession() as client,
    ):
        yield Site(envoy, gateway, client, port)


async def test_a_request_reaches_the_gateway_with_an_id(site: Site) -> None:
    mine = {"x-controlmesh-service": "x", "x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-retry-on": "5xx"}
    async with site.client.get(site.url("/somewhere"), headers=mine) as reply:
        assert (reply.status, await reply.text()) == (200, "from the gateway")
        given = reply.headers["x-request-id"]
    headers = site.gateway.seen[-1]["headers"]
    assert headers["x-request-id"] == given
    # What steers Envoy is not a client's to send.
    assert headers.keys().isdisjoint(mine)


async def test_a_clients_id_and_trace_pass_unchanged_and_its_word_on_addresses_does_not(site: Site) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = {"x-request-id": "my-own-id", "traceparent": trace, "x-forwarded-for": "203.0.113.9"}
    async with site.client.get(site.url("/"), headers=sent) as reply:
        assert reply.headers["x-request-id"] == "my-own-id"
    headers = site.gateway.seen[-1]["headers"]
    assert headers["x-request-id"] == "my-own-id"
    assert headers["traceparent"] == trace
    # Envoy adds the address that it saw itself; whoever believes a client's own claim does so knowingly.
    claimed, seen = headers["x-forwarded-for"].split(",")
    assert claimed == "203.0.113.9"
    assert seen != claimed


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


async def test_events_pass_one_by_one(site: Site) -> None:
    site.gateway.release.clear()
    async with site.client.get(site.url("/controlmesh/v1/generations/abc/events")) as reply:
        assert await asyncio.wait_for(reply.content.readuntil(b"\n\n"), 5) == b"data: first\n\n"
        # Only now may the gateway send the rest: had it been held back, the line above would have timed out.
        site.gateway.release.set()
        assert await asyncio.wait_for(reply.content.read(), 5) == b"data: last\n\n"


async def test_events_outlive_the_timeout_of_other_answers(hasty: Site) -> None:
    hasty.gateway.release.clear()
    async with hasty.client.get(hasty.url("/controlmesh/v1/generations/abc/events")) as reply:
        await reply.content.readuntil(b"\n\n")
        # A request of the ordinary route lives and dies meanwhile.
        async with hasty.client.get(hasty.url("/stuck")) as other:
            assert other.status == 504
            assert "did not answer in time" in (await other.json())["error"]
        hasty.gateway.release.set()
        assert await reply.content.read() == b"data: last\n\n"


async def test_a_client_that_leaves_is_seen_by_the_gateway(site: Site) -> None:
    before = len(site.gateway.seen)

    async def arrived() -> bool:
        return len(site.gateway.seen) > before

    request = asyncio.create_task(site.client.get(site.url("/stuck")).__aenter__())
    await eventually(arrived, "the request has reached the gateway")
    assert not site.gateway.disconnected.is_set()
    request.cancel()
    await asyncio.wait_for(site.gateway.disconnected.wait(), 5)


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


async def test_the_log_is_json_without_queries(site: Site) -> None:
    async with site.client.get(site.url("/logged?key=secret"), headers={"x-request-id": "find-me"}) as reply:
        assert reply.status == 200

    async def logged() -> bool:
        return any(line.get("request_id") == "find-me" for line in site.envoy.lines())

    await eventually(logged, "the request is in the log", seconds=20)
    (line,) = [line for line in site.envoy.lines() if line.get("request_id") == "find-me"]
    assert (line["path"], line["code"], line["method"]) == ("/logged", 200, "GET")
    assert "secret" not in site.envoy.log.read_text()


async def test_a_gateway_that_is_down_is_503_with_retry_after_and_one_that_returns_is_found(tmp_path: Path) -> None:
    port = free_port()
    async with running_envoy(tmp_path, {"gateway": [port]}) as envoy, aiohttp.ClientSession() as client:
        site = Site(envoy, Gateway(), client, port)

        async def status() -> int:
            async with client.get(site.url("/")) as reply:
                return reply.status

        async with client.get(site.url("/")) as reply:
            assert reply.status == 503
            assert reply.headers["retry-after"] == "2"
            assert reply.content_type == "application/json"
            text = (await reply.json())["error"]
        assert "try again" in text
        assert "127.0.0.1" not in text and "upstream" not in text

        async def found() -> bool:
            return await status() == 200

        async with running_http(site.gateway, port):
            await eventually(found, "Envoy finds the gateway")


async def test_a_request_that_the_gateway_has_taken_is_not_sent_again(tmp_path: Path) -> None:
    taken = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /healthz"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
        else:
            taken += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with running_envoy(tmp_path, {"gateway": [port]}) as envoy, aiohttp.ClientSession() as client:
        async with client.post(f"http://127.0.0.1:{envoy.edge}/", data=b"{}") as reply:
            assert reply.status == 503
            assert "error" in await reply.json()
        assert taken == 1
    server.close()


async def test_a_gateway_that_refuses_connections_is_passed_over(tmp_path: Path) -> None:
    port, dead = free_port(), free_port()

    def without_checks(bootstrap: dict[str, Any]) -> None:
        # The time between a crash and the next check is what this is about.
        for cluster in bootstrap["static_resources"]["clusters"]:
            cluster.pop("health_checks", None)
            cluster.pop("outlier_detection", None)

    async with (
        running_http(Gateway(), port),
        running_envoy(tmp_path, {"gateway": [dead, port]}, without_checks) as envoy,
        aiohttp.ClientSession() as client,
    ):
        for _ in range(20):
            async with client.post(f"http://127.0.0.1:{envoy.edge}/", data=b"{}") as reply:
                assert reply.status == 200


async def test_the_metrics_listener_shows_two_reads_and_nothing_else(site: Site) -> None:
    base = f"http://127.0.0.1:{site.envoy.metrics}"
    async with site.client.get(f"{base}/ready") as reply:
        assert (reply.status, (await reply.text()).strip()) == (200, "LIVE")
    async with site.client.get(f"{base}/stats/prometheus") as reply:
        assert reply.status == 200
        assert "envoy_http_downstream_rq" in await reply.text()
    for path in ("/", "/config_dump", "/stats", "/ready/../config_dump"):
        async with site.client.get(URL(base + path, encoded=True)) as reply:
            assert reply.status == 404, path
    async with site.client.post(f"{base}/quitquitquit") as reply:
        assert reply.status == 404
