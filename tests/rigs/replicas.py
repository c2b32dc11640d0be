"""Two processes of every service, light ones: the real servers and their drains around rooms in small.

They are forked from a process that has imported everything, so that a restart costs a fraction of a second.
"""

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from opentelemetry import trace

from gateway.dialects.table import SETTINGS
from gateway.server import run
from gateway.settings import GatewaySettings
from mesh.server import ServerSettings, serve
from mesh.telemetry import configure
from tests.rigs.envoy import ROOMS
from tests.rigs.services import FakeRooms

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])
STEP_S = 0.05
"""What a step of denoising takes, so that there is work in flight whenever a process is told to stop."""
DRAIN_S = 0.4
GRACE_S = 10.0


class _Pace:
    """In place of FakeRooms.pace: every step takes its time."""

    async def wait(self) -> None:
        await asyncio.sleep(STEP_S)


async def _ready() -> None:
    """The probe of rooms in small: there is nothing behind them that could be away."""


def serve_room(cluster: str, port: int, log: str) -> None:
    """Be one of the three services until SIGTERM, with the drain that all of them have."""
    _log_to(log)
    settings = ServerSettings(address=f"127.0.0.1:{port}", drain_s=DRAIN_S, grace_s=GRACE_S)
    configure(cluster, settings)
    service, add = ROOMS[cluster]

    async def main() -> None:
        rooms: Any = FakeRooms()
        rooms.pace = _Pace()
        await serve(settings, {service: lambda server: add(rooms, server)}, _ready)

    asyncio.run(main())


def serve_gateway(settings: Mapping[str, Any], log: str) -> None:
    """Be a gateway until SIGTERM."""
    _log_to(log)
    own = GatewaySettings(**{"drain_s": DRAIN_S, "grace_s": GRACE_S, **settings})
    configure("gateway", own)
    try:
        asyncio.run(run(own, {name: cls() for name, cls in SETTINGS.items()}))
    finally:
        # What a process does at its exit, and a fork does not.
        trace.get_tracer_provider().shutdown()  # type: ignore[attr-defined]


def _log_to(path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)


@dataclass
class Fork:
    """One replica, as benchmarks/rolling_load.py restarts it.

    Attributes:
        target, arguments: the function that is the process.
    """

    name: str
    ports: Mapping[str, int]
    target: Any
    arguments: tuple[Any, ...]
    _process: BaseProcess | None = field(default=None, repr=False)

    async def start(self) -> None:
        self._process = FORKS.Process(target=self.target, args=self.arguments)
        await asyncio.to_thread(self._process.start)

    async def stop(self) -> None:
        await self._end("terminate")

    async def kill(self) -> None:
        """End it without a word to anybody."""
        await self._end("kill")

    async def _end(self, how: str) -> None:
        assert self._process is not None
        getattr(self._process, how)()
        await asyncio.to_thread(self._process.join, 30)
        assert self._process.exitcode is not None, f"{self.name} did not end"


def room(cluster: str, port: int, which: int, folder: Path) -> Fork:
    """A replica of one of the three services."""
    name = f"{cluster} {which}"
    return Fork(name, {cluster: port}, serve_room, (cluster, port, str(folder / f"{name}.log")))


def gateway(http: int, grpc: int, which: int, folder: Path, **settings: Any) -> Fork:
    """A replica of the gateway."""
    name = f"gateway {which}"
    addresses = {"address": f"127.0.0.1:{http}", "grpc_address": f"127.0.0.1:{grpc}"}
    arguments = ({**addresses, **settings}, str(folder / f"{name}.log"))
    return Fork(name, {"gateway": http, "gateway_grpc": grpc}, serve_gateway, arguments)
