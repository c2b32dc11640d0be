"""The mesh listener on real Envoy: routes, health, streams, deadlines, and which calls are sent twice."""

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
from tests.integration.envoy_rig import ROOMS, Envoy, Relay, Room, eventually, free_port, running_envoy, running_room

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
        return vae_pb2.EncodeResponse(
            latents=types_pb2.Latents(samples=types_pb2.Tensor(content=request.image.content))
        )


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
    """Envoy, its rooms, and a channel to it."""

    envoy: Envoy
    channel: grpc.aio.Channel
    rooms: dict[str, list[Room]]

    async def health(self, service: str) -> str:
        """What a health check through the mesh hears."""
        stub = health_pb2_grpc.HealthStub(self.channel)
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
        yield Mesh(envoy, channel, rooms)


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """One replica of every room."""
    rooms = {"preprocess": [Preprocess()], "unet": [Unet()], "vae": [Vae()], "gateway_grpc": [Generation()]}
    async with running_mesh(tmp_path, rooms) as running:
        yield running


async def failure(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def drain(stream: Any) -> list[Any]:
    return [message async for message in stream]


async def test_each_service_has_its_route_and_its_health(mesh: Mesh) -> None:
    controls = await preprocess_pb2_grpc.PreprocessServiceStub(mesh.channel).ListControls(
        preprocess_pb2.ListControlsRequest(), timeout=5
    )
    models = await unet_pb2_grpc.UnetServiceStub(mesh.channel).ListModels(unet_pb2.ListModelsRequest(), timeout=5)
    images = await vae_pb2_grpc.VaeServiceStub(mesh.channel).Decode(vae_pb2.DecodeRequest(), timeout=5)
    generated = await drain(
        generation_pb2_grpc.GenerationServiceStub(mesh.channel).Generate(generation_pb2.GenerateRequest(), timeout=5)
    )
    assert controls.controls[0].kind == "preprocess"
    assert models.models[0].name == "unet"
    assert images.images[0].content == b"vae"
    assert len(generated) == 1
    for service, _ in ROOMS.values():
        assert await mesh.health(service) == "SERVING"


async def test_health_without_the_header_and_unknown_services_have_no_route(mesh: Mesh) -> None:
    stub = health_pb2_grpc.HealthStub(mesh.channel)
    check = stub.Check(health_pb2.HealthCheckRequest(service="controlmesh.v1.VaeService"), timeout=5)
    assert await failure(check) == grpc.StatusCode.UNIMPLEMENTED
    assert await mesh.health("controlmesh.v1.Other") == "UNIMPLEMENTED"


async def test_a_room_that_does_not_serve_is_unavailable_until_it_does(mesh: Mesh) -> None:
    (vae,) = mesh.rooms["vae"]
    await vae.say(serving=False)

    async def health_is(expected: str) -> bool:
        return await mesh.health(vae.service) == expected

    await eventually(lambda: health_is("UNAVAILABLE"), "vae leaves rotation")
    decode = vae_pb2_grpc.VaeServiceStub(mesh.channel).Decode(vae_pb2.DecodeRequest(), timeout=5)
    assert await failure(decode) == grpc.StatusCode.UNAVAILABLE
    assert await mesh.health("controlmesh.v1.UnetService") == "SERVING"
    await vae.say(serving=True)
    await eventually(lambda: health_is("SERVING"), "vae is back")


async def test_steps_pass_one_by_one(tmp_path: Path) -> None:
    unet = Unet()
    async with running_mesh(tmp_path, {"unet": [unet]}) as mesh:
        stream = unet_pb2_grpc.UnetServiceStub(mesh.channel).Denoise(unet_pb2.DenoiseRequest(), timeout=20)
        assert (await asyncio.wait_for(stream.read(), 5)).progress.step == 1
        unet.release.set()
        assert (await asyncio.wait_for(stream.read(), 5)).progress.step == 2


async def test_cancelling_reaches_the_room(tmp_path: Path) -> None:
    unet = Unet()
    async with running_mesh(tmp_path, {"unet": [unet]}) as mesh:
        stream = unet_pb2_grpc.UnetServiceStub(mesh.channel).Denoise(unet_pb2.DenoiseRequest(), timeout=60)
        await stream.read()
        assert not unet.cancelled.is_set()
        stream.cancel()
        await asyncio.wait_for(unet.cancelled.wait(), 5)


async def test_the_callers_deadline_reaches_the_room_and_ends_the_call(tmp_path: Path) -> None:
    unet = Unet()
    async with running_mesh(tmp_path, {"unet": [unet]}) as mesh:
        stub = unet_pb2_grpc.UnetServiceStub(mesh.channel)
        stream = stub.Denoise(unet_pb2.DenoiseRequest(), timeout=1)
        assert await failure(drain(stream)) == grpc.StatusCode.DEADLINE_EXCEEDED
        assert unet.remaining_s is not None and 0.3 < unet.remaining_s <= 1.0
        await asyncio.wait_for(unet.cancelled.wait(), 5)


async def test_a_deadline_of_minutes_arrives_whole(tmp_path: Path) -> None:
    unet = Unet()
    unet.release.set()
    async with running_mesh(tmp_path, {"unet": [unet]}) as mesh:
        await drain(unet_pb2_grpc.UnetServiceStub(mesh.channel).Denoise(unet_pb2.DenoiseRequest(), timeout=1200))
    assert unet.remaining_s is not None and 1190 < unet.remaining_s <= 1200


async def test_large_messages_pass_both_ways(mesh: Mesh) -> None:
    content = bytes(20 << 20)
    request = vae_pb2.EncodeRequest(image=types_pb2.Image(content=content))
    reply = await vae_pb2_grpc.VaeServiceStub(mesh.channel).Encode(request, timeout=30)
    assert len(reply.latents.samples.content) == len(content)


async def test_a_replica_that_drains_gets_no_new_calls(tmp_path: Path) -> None:
    first, second = Vae("first"), Vae("second")
    async with running_mesh(tmp_path, {"vae": [first, second]}) as mesh:
        stub = vae_pb2_grpc.VaeServiceStub(mesh.channel)

        async def who(calls: int) -> set[bytes]:
            replies = [await stub.Decode(vae_pb2.DecodeRequest(), timeout=5) for _ in range(calls)]
            return {reply.images[0].content for reply in replies}

        async def only_second() -> bool:
            return await mesh.envoy.healthy("vae") == [mesh.rooms["vae"][1].port]

        assert await who(40) == {b"first", b"second"}
        await mesh.rooms["vae"][0].say(serving=False)
        await eventually(only_second, "the first replica leaves rotation")
        assert await who(20) == {b"second"}


async def test_a_dead_replica_costs_no_call(tmp_path: Path) -> None:
    async with running_mesh(tmp_path, {"vae": [Vae("first"), Vae("second")], "unet": [Unet(), Unet()]}) as mesh:
        for cluster in ("vae", "unet"):
            await mesh.rooms[cluster][0].server.stop(0)
        decode = vae_pb2_grpc.VaeServiceStub(mesh.channel).Decode
        models = unet_pb2_grpc.UnetServiceStub(mesh.channel).ListModels
        for _ in range(20):
            await decode(vae_pb2.DecodeRequest(), timeout=5)
            await models(unet_pb2.ListModelsRequest(), timeout=5)


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL]
)
async def test_an_answered_error_is_not_asked_for_again(tmp_path: Path, code: grpc.StatusCode) -> None:
    first, second = Vae(fails_with=code), Vae(fails_with=code)
    async with running_mesh(tmp_path, {"vae": [first, second]}) as mesh:
        decode = vae_pb2_grpc.VaeServiceStub(mesh.channel).Decode(vae_pb2.DecodeRequest(), timeout=5)
        assert await failure(decode) == code
    assert first.calls + second.calls == 1


async def test_errors_and_short_deadlines_eject_nobody(tmp_path: Path) -> None:
    vae = Vae(fails_with=grpc.StatusCode.UNAVAILABLE)
    async with running_mesh(tmp_path, {"vae": [vae, Vae()]}) as mesh:
        stub = vae_pb2_grpc.VaeServiceStub(mesh.channel)
        for _ in range(40):
            try:
                await stub.Decode(vae_pb2.DecodeRequest(), timeout=5)
            except grpc.aio.AioRpcError as error:
                assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert len(await mesh.envoy.healthy("vae")) == 2
    assert vae.calls > 5


async def test_a_decode_that_lost_its_server_is_computed_again_once(tmp_path: Path) -> None:
    relay, vae = Relay(0), Vae()
    vae.cut.append(relay)
    async with running_mesh(tmp_path, {"vae": [vae]}, [relay]) as mesh:
        reply = await vae_pb2_grpc.VaeServiceStub(mesh.channel).Decode(vae_pb2.DecodeRequest(), timeout=10)
        assert reply.images[0].content == b"vae"
        assert vae.calls == 2
        vae.cut.extend([relay, relay, relay])
        lost = vae_pb2_grpc.VaeServiceStub(mesh.channel).Decode(vae_pb2.DecodeRequest(), timeout=10)
        assert await failure(lost) == grpc.StatusCode.UNAVAILABLE
        assert vae.calls == 4


@pytest.mark.parametrize("silent", [True, False], ids=["before the first step", "after it"])
async def test_a_loop_that_lost_its_server_is_not_run_again(tmp_path: Path, silent: bool) -> None:
    relay, unet = Relay(0), Unet(silent=silent)
    async with running_mesh(tmp_path, {"unet": [unet]}, [relay]) as mesh:
        stream = unet_pb2_grpc.UnetServiceStub(mesh.channel).Denoise(unet_pb2.DenoiseRequest(), timeout=10)
        if not silent:
            await stream.read()
        await asyncio.wait_for(unet.started.wait(), 5)
        relay.cut()
        assert await failure(drain(stream)) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
        assert unet.calls == 1


async def test_rooms_that_start_late_are_found(tmp_path: Path) -> None:
    port = free_port()
    async with running_envoy(tmp_path, {"vae": [port]}) as envoy, open_channel(f"127.0.0.1:{envoy.mesh}") as channel:
        mesh = Mesh(envoy, channel, {})
        assert await mesh.health("controlmesh.v1.VaeService") == "UNAVAILABLE"

        async def serving() -> bool:
            return await mesh.health("controlmesh.v1.VaeService") == "SERVING"

        async with running_room("vae", Vae(), port):
            await eventually(serving, "Envoy finds the room")
