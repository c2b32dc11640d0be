"""Real Envoy on the project's bootstrap, and small real servers behind it, for the tests of its configuration."""

import asyncio
import json
import shutil
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import uvicorn
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from controlmesh.v1 import generation_pb2_grpc, preprocess_pb2_grpc, unet_pb2_grpc, vae_pb2_grpc
from local.envoy import envoy_command, local_bootstrap
from tests.rigs.ports import free_port, free_ports

BOOTSTRAP = Path(__file__).parents[2] / "k8s" / "envoy" / "envoy.yaml"
ROOMS = {
    "preprocess": ("controlmesh.v1.PreprocessService", preprocess_pb2_grpc.add_PreprocessServiceServicer_to_server),
    "unet": ("controlmesh.v1.UnetService", unet_pb2_grpc.add_UnetServiceServicer_to_server),
    "vae": ("controlmesh.v1.VaeService", vae_pb2_grpc.add_VaeServiceServicer_to_server),
    "gateway_grpc": ("controlmesh.v1.GenerationService", generation_pb2_grpc.add_GenerationServiceServicer_to_server),
}
CLUSTERS = ("gateway", *ROOMS)
LARGE = (("grpc.max_send_message_length", 64 << 20), ("grpc.max_receive_message_length", 64 << 20))


async def eventually(holds: Callable[[], Awaitable[bool]], what: str, seconds: float = 15.0) -> None:
    """Ask until `holds` is true; the only way to see a proxy change its mind is to look."""
    end = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.05)


@dataclass
class Envoy:
    """A running Envoy and where it can be reached."""

    edge: int
    internal: int
    mesh: int
    metrics: int
    admin: Path
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    async def ask(self, method: str, path: str) -> str:
        """What the admin interface answers."""
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.admin))) as session,
            session.request(method, f"http://admin{path}") as reply,
        ):
            return await reply.text()

    async def healthy(self, cluster: str) -> list[int]:
        """Ports of the cluster's servers that requests may go to."""
        found = json.loads(await self.ask("GET", "/clusters?format=json"))
        statuses = {entry["name"]: entry for entry in found["cluster_statuses"]}
        return [
            host["address"]["socket_address"]["port_value"]
            for host in statuses[cluster].get("host_statuses", [])
            if not host["health_status"].get("failed_active_health_check")
            and not host["health_status"].get("failed_outlier_check")
        ]


@asynccontextmanager
async def running_envoy(
    folder: Path, upstreams: dict[str, list[int]], edit: Callable[[dict[str, Any]], None] | None = None
) -> AsyncIterator[Envoy]:
    """Envoy on the local form of the bootstrap.

    Args:
        folder: an existing one, where its bootstrap and its log are written.
        upstreams: cluster -> ports on loopback; a cluster left out gets a port where nobody listens.
        edit: changes the parsed bootstrap first, for shorter times than a test can wait for.
    """
    ports = {name: upstreams.get(name) or [free_port()] for name in CLUSTERS}
    # Paths of sockets are short: a test's folder may be too deep.
    sockets = Path(tempfile.mkdtemp(prefix="envoy-"))
    spot = Envoy(*free_ports(4), sockets / "admin.sock", folder / "envoy.log")
    text = local_bootstrap(
        BOOTSTRAP.read_text(),
        upstreams={name: f"127.0.0.1:{first}" for name, (first, *_) in ports.items()},
        edge=f"127.0.0.1:{spot.edge}",
        internal=f"127.0.0.1:{spot.internal}",
        mesh=f"127.0.0.1:{spot.mesh}",
        metrics=f"127.0.0.1:{spot.metrics}",
        admin=spot.admin,
    )
    bootstrap = yaml.safe_load(text)
    for cluster in bootstrap["static_resources"]["clusters"]:
        # A headless Service names every pod; here every further replica is written out.
        servers = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        for port in ports.get(cluster["name"], [])[1:]:
            address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
            servers.append({"endpoint": {"address": address}})
    if edit:
        edit(bootstrap)
    path = folder / "envoy.yaml"
    path.write_text(yaml.safe_dump(bootstrap))
    with spot.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(*envoy_command(path), stdout=log, stderr=log)
    try:

        async def ready() -> bool:
            assert process.returncode is None, spot.log.read_text()
            try:
                await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{spot.metrics}/ready", timeout=5)
            except OSError:
                return False
            return True

        await eventually(ready, "Envoy is ready", seconds=30)
        yield spot
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        shutil.rmtree(sockets)


def manager(bootstrap: dict[str, Any], listener: str) -> dict[str, Any]:
    """The HTTP connection manager of one listener of a parsed bootstrap."""
    (found,) = [entry for entry in bootstrap["static_resources"]["listeners"] if entry["name"] == listener]
    return found["filter_chains"][0]["filters"][0]["typed_config"]


@dataclass
class Room:
    """A gRPC server with health, standing in for a room on a port of its own."""

    server: grpc.aio.Server
    port: int
    health: health.aio.HealthServicer
    service: str

    async def say(self, serving: bool) -> None:
        """Change what health checks hear."""
        status = health_pb2.HealthCheckResponse
        await self.health.set(self.service, status.SERVING if serving else status.NOT_SERVING)


@asynccontextmanager
async def running_room(cluster: str, servicer: Any, port: int = 0) -> AsyncIterator[Room]:
    """`servicer` served as the room behind `cluster`, SERVING."""
    service, add = ROOMS[cluster]
    server = grpc.aio.server(options=LARGE)
    add(servicer, server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection([service, reflection.SERVICE_NAME], server)
    room = Room(server, server.add_insecure_port(f"127.0.0.1:{port}"), checks, service)
    await room.say(serving=True)
    await server.start()
    try:
        yield room
    finally:
        await server.stop(0)


@asynccontextmanager
async def running_http(app: Any, port: int) -> AsyncIterator[None]:
    """The ASGI `app` served by uvicorn, as the gateway is."""
    config = uvicorn.Config(app, port=port, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    # Signals belong to the test run.
    task = asyncio.create_task(server._serve())
    while not server.started:
        assert not task.done(), "uvicorn did not start"
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@dataclass
class Relay:
    """TCP in front of one server, whose connections can be cut as a killed process cuts them."""

    target: int
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Reset every connection that is open now; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        away_reader, away_writer = await asyncio.open_connection("127.0.0.1", self.target)
        pair = {writer, away_writer}
        self._writers |= pair
        try:
            await asyncio.gather(_pump(reader, away_writer), _pump(away_reader, writer))
        finally:
            self._writers -= pair
            for end in pair:
                end.transport.abort()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        """Listen on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
