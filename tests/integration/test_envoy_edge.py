"""The edge listener on real Envoy: what passes, how it passes, and what is said when the gateway can't answer."""

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from yarl import URL

from tests.rigs.envoy import eventually, running_envoy, running_http
from tests.rigs.envoy_site import Gateway, Site, running_site, shorten_answers
from tests.rigs.ports import free_port


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The edge as it is."""
    async with running_site(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture(scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """The edge with a short timeout of ordinary answers."""
    async with running_site(tmp_path_factory.mktemp("hasty"), shorten_answers) as running:
        yield running


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
    sent = {"x-request-id": "my-own-id", "traceparent": trace, "baggage": "a=b", "x-forwarded-for": "203.0.113.9"}
    async with site.client.get(site.url("/"), headers=sent) as reply:
        assert reply.headers["x-request-id"] == "my-own-id"
    headers = site.gateway.seen[-1]["headers"]
    assert headers["x-request-id"] == "my-own-id"
    assert headers["traceparent"] == trace
    assert "baggage" not in headers
    # Envoy adds the address that it saw itself; whoever believes a client's own claim does so knowingly.
    claimed, seen = headers["x-forwarded-for"].split(",")
    assert claimed == "203.0.113.9"
    assert seen != claimed


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/x/../metrics", "/%6detrics", "/metrics?x=1"])
async def test_metrics_are_not_at_the_edge(site: Site, path: str) -> None:
    before = len(site.gateway.seen)
    for method in ("GET", "HEAD", "POST"):
        async with site.client.request(method, site.url(path)) as reply:
            assert (reply.status, reply.content_type) == (404, "application/json")
    assert len(site.gateway.seen) == before


async def test_the_gateway_is_told_which_requests_are_clients(site: Site) -> None:
    # A spelling that Envoy does not undo is left to the gateway, which shows its metrics to no client.
    async with site.client.get(site.url("/Metrics;x"), headers={"x-controlmesh-edge": "mine"}) as reply:
        assert reply.status == 200
    assert site.gateway.seen[-1]["headers"]["x-controlmesh-edge"] == "1"


@pytest.mark.parametrize("host", ["host: somewhere\r\n", ""])
async def test_http_1_0_is_answered(site: Site, host: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.envoy.edge)
    writer.write(f"GET /old HTTP/1.0\r\n{host}\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    assert body == b"from the gateway"
    writer.close()


async def test_the_admin_interface_is_a_socket_of_this_user_alone(site: Site) -> None:
    assert stat.S_IMODE(site.envoy.admin.stat().st_mode) == 0o600
    assert "LIVE" in await site.envoy.ask("GET", "/ready")
    ports = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(site.envoy.log.parent / "envoy.yaml") in process.cmdline():
                ports = {at.laddr.port for at in process.net_connections("tcp") if at.status == psutil.CONN_LISTEN}
    assert ports == {site.envoy.edge, site.envoy.internal, site.envoy.mesh, site.envoy.metrics}


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
