"""The edge with a tiny gateway behind it, which remembers what reached it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from tests.rigs.envoy import Envoy, manager, running_envoy, running_http
from tests.rigs.ports import free_port


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


@asynccontextmanager
async def running_site(
    folder: Path, edit: Callable[[dict[str, Any]], None] | None = None, others: dict[str, list[int]] | None = None
) -> AsyncIterator[Site]:
    """The edge, as it is or edited, with its gateway running; `others` are ports of other clusters' servers."""
    port, gateway = free_port(), Gateway()
    async with (
        running_http(gateway, port),
        running_envoy(folder, {"gateway": [port], **(others or {})}, edit) as envoy,
        aiohttp.ClientSession() as client,
    ):
        yield Site(envoy, gateway, client, port)


def shorten(bootstrap: dict[str, Any]) -> None:
    """The edge's timeouts at a length that a test can wait for."""
    (listener,) = [entry for entry in bootstrap["static_resources"]["listeners"] if entry["name"] == "edge"]
    assert listener["listener_filters_timeout"] == "3s"
    listener["listener_filters_timeout"] = "1s"
    edge = manager(bootstrap, "edge")
    assert edge["request_headers_timeout"] == "5s"
    assert edge["request_timeout"] == "60s"
    edge.update(request_headers_timeout="0.5s", request_timeout="1s")


def shorten_answers(bootstrap: dict[str, Any]) -> None:
    """The timeout of ordinary answers at a length that a test can wait for; a busy machine may be later than that."""
    *_, last = manager(bootstrap, "edge")["route_config"]["virtual_hosts"][0]["routes"]
    assert last["route"]["timeout"] == "310s"
    last["route"]["timeout"] = "1s"
