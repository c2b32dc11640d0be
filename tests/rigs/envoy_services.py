"""The mesh listener with tiny rooms behind it, which count their calls and fail as told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from controlmesh.v1 import (
    generation_pb2,
    generation_pb2_grpc,
    preprocess_pb2,
    preprocess_pb2_grpc,
    types_pb2,
    unet_pb2,
    unet_pb2_grpc,
    vae_pb2,
    vae_pb2_grpc,
)
from mesh.channels import open_channel
from tests.rigs.envoy import Envoy, Relay, Room, running_envoy, running_room

HEADER = "x-controlmesh-service"


@dataclass
class Vae(vae_pb2_grpc.VaeServiceServicer):
    """Counts its calls; fails them as told."""

    name: str = "vae"
    calls: int = 0
    fails_with: grpc.StatusCode | None = None
    cut: list[Relay] = field(default_factory=list)

    async def Decode(self, request: Any, context: grpc.aio.ServicerContext) -> vae_pb2.DecodeResponse:
        self.calls += 1
        if self.cut:
            self.cut.pop().cut()
            await asyncio.Event().wait()
        if self.fails_with:
            await context.abort(self.fails_with, "as told")
        return vae_pb2.DecodeResponse(images=[types_pb2.Image(content=self.name.encode())])

    async def Encode(self, request: vae_pb2.EncodeRequest, context: grpc.aio.ServicerContext) -> vae_pb2.EncodeResponse:
        self.calls += 1
        mean = types_pb2.Tensor(content=request.image.content)
        return vae_pb2.EncodeResponse(posterior=types_pb2.Posterior(mean=mean))


@dataclass
class Unet(unet_pb2_grpc.UnetServiceServicer):
    """Sends one step, waits, sends the rest; remembers how its calls ended."""

    calls: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    remaining_s: float | None = None
    silent: bool = False

    async def Denoise(self, request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[unet_pb2.DenoiseResponse]:
        self.calls += 1
        self.remaining_s = context.time_remaining()
        self.started.set()
        try:
            if not self.silent:
                yield unet_pb2.DenoiseResponse(progress=unet_pb2.DenoiseProgress(step=1, steps=2))
            await self.release.wait()
            yield unet_pb2.DenoiseResponse(progress=unet_pb2.DenoiseProgress(step=2, steps=2))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def ListModels(self, request: Any, context: Any) -> unet_pb2.ListModelsResponse:
        return unet_pb2.ListModelsResponse(models=[unet_pb2.Model(name="unet")])


class Preprocess(preprocess_pb2_grpc.PreprocessServiceServicer):
    """Names itself."""

    async def ListControls(self, request: Any, context: Any) -> preprocess_pb2.ListControlsResponse:
        return preprocess_pb2.ListControlsResponse(controls=[preprocess_pb2.ControlKind(kind="preprocess")])


class Generation(generation_pb2_grpc.GenerationServiceServicer):
    """Sends one empty message."""

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[generation_pb2.GenerateResponse]:
        yield generation_pb2.GenerateResponse()


@dataclass
class Mesh:
    """Envoy, its rooms, and channels to its listeners `mesh` and `internal`."""

    envoy: Envoy
    channel: grpc.aio.Channel
    internal: grpc.aio.Channel
    rooms: dict[str, list[Room]]

    async def health(self, service: str) -> str:
        """What a health check through the mesh hears."""
        return await self._health(self.channel, service)

    async def internal_health(self, service: str) -> str:
        """What a health check through the internal listener hears."""
        return await self._health(self.internal, service)

    async def _health(self, channel: grpc.aio.Channel, service: str) -> str:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = await stub.Check(
                health_pb2.HealthCheckRequest(service=service), metadata=((HEADER, service),), timeout=5
            )
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)


@asynccontextmanager
async def running_mesh(
    folder: Path, servicers: dict[str, list[Any]], via: list[Relay] | None = None
) -> AsyncIterator[Mesh]:
    """Envoy over rooms of `servicers`; each relay of `via` goes in front of the first room."""
    async with AsyncExitStack() as stack:
        rooms = {
            cluster: [await stack.enter_async_context(running_room(cluster, servicer)) for servicer in replicas]
            for cluster, replicas in servicers.items()
        }
        ports = {cluster: [room.port for room in replicas] for cluster, replicas in rooms.items()}
        for relay in via or []:
            (cluster,) = servicers
            relay.target = ports[cluster][0]
            await stack.enter_async_context(relay.running())
            ports[cluster][0] = relay.port
        envoy = await stack.enter_async_context(running_envoy(folder, ports))
        channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{envoy.mesh}"))
        internal = await stack.enter_async_context(open_channel(f"127.0.0.1:{envoy.internal}"))
        yield Mesh(envoy, channel, internal, rooms)


async def failure(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def drain(stream: Any) -> list[Any]:
    return [message async for message in stream]
