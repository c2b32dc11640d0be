"""The mesh and internal listeners on real Envoy: routes, health, streams, cancelling and deadlines."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

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
from tests.rigs.envoy import ROOMS, eventually, running_envoy, running_room
from tests.rigs.envoy_services import HEADER, Generation, Mesh, Preprocess, Unet, Vae, drain, failure, running_mesh
from tests.rigs.ports import free_port

# gRPC writes a deadline in few digits and rounds it up, by one per cent at most.
ROUNDED = 1.01


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    """One replica of every room."""
    rooms = {"preprocess": [Preprocess()], "unet": [Unet()], "vae": [Vae()], "gateway_grpc": [Generation()]}
    async with running_mesh(tmp_path, rooms) as running:
        yield running


async def test_each_service_has_its_route_and_its_health(mesh: Mesh) -> None:
    controls = await preprocess_pb2_grpc.PreprocessServiceStub(mesh.channel).ListControls(
        preprocess_pb2.ListControlsRequest(), timeout=5
    )
    models = await unet_pb2_grpc.UnetServiceStub(mesh.channel).ListModels(unet_pb2.ListModelsRequest(), timeout=5)
    images = await vae_pb2_grpc.VaeServiceStub(mesh.channel).Decode(vae_pb2.DecodeRequest(), timeout=5)
    generated = await drain(
        generation_pb2_grpc.GenerationServiceStub(mesh.internal).Generate(generation_pb2.GenerateRequest(), timeout=5)
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


async def test_callers_reach_the_service_with_keys_and_no_other(mesh: Mesh) -> None:
    """Where GenerationService is offered the services without keys are not, and the other way round."""
    calls = (
        preprocess_pb2_grpc.PreprocessServiceStub(mesh.internal).ListControls(preprocess_pb2.ListControlsRequest()),
        unet_pb2_grpc.UnetServiceStub(mesh.internal).ListModels(unet_pb2.ListModelsRequest()),
        vae_pb2_grpc.VaeServiceStub(mesh.internal).Decode(vae_pb2.DecodeRequest()),
        vae_pb2_grpc.VaeServiceStub(mesh.internal).Decode(
            vae_pb2.DecodeRequest(), metadata=((HEADER, "controlmesh.v1.VaeService"),)
        ),
    )
    for call in calls:
        assert await failure(call) == grpc.StatusCode.UNIMPLEMENTED
    generate = generation_pb2_grpc.GenerationServiceStub(mesh.channel).Generate(generation_pb2.GenerateRequest())
    assert await failure(drain(generate)) == grpc.StatusCode.UNIMPLEMENTED
    assert await mesh.internal_health("controlmesh.v1.GenerationService") == "SERVING"
    # The gateway's own health server answers, whatever service the caller's metadata name.
    assert await mesh.internal_health("controlmesh.v1.VaeService") == "NOT_FOUND"


async def test_reflection_shows_the_service_that_callers_use(mesh: Mesh) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(mesh.internal)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="controlmesh.v1.GenerationService"),
    ]
    listed, found = [answer async for answer in stub.ServerReflectionInfo(iter(asked), timeout=5)]
    names = {service.name for service in listed.list_services_response.service}
    assert "controlmesh.v1.GenerationService" in names and "controlmesh.v1.UnetService" not in names
    assert found.file_descriptor_response.file_descriptor_proto


async def test_what_asks_for_no_key_takes_small_messages_alone(mesh: Mesh) -> None:
    """The room's own server would read 4 MiB of it; Envoy ends the call before, and its 413 is gRPC's UNKNOWN."""
    large = "x" * 1_000_000
    check = health_pb2_grpc.HealthStub(mesh.internal).Check(health_pb2.HealthCheckRequest(service=large), timeout=5)
    assert await failure(check) in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED}
    asked = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=large)]
    call = reflection_pb2_grpc.ServerReflectionStub(mesh.internal).ServerReflectionInfo(iter(asked), timeout=5)
    assert await failure(drain(call)) in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED}
    # The service that asks for keys takes pictures.
    pictured = generation_pb2.GenerateRequest(prompt=large)
    generate = generation_pb2_grpc.GenerationServiceStub(mesh.internal).Generate(pictured, timeout=5)
    assert len(await drain(generate)) == 1


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
        assert unet.remaining_s is not None and 0.3 < unet.remaining_s <= 1.0 * ROUNDED
        await asyncio.wait_for(unet.cancelled.wait(), 5)


async def test_a_deadline_of_minutes_arrives_whole(tmp_path: Path) -> None:
    unet = Unet()
    unet.release.set()
    async with running_mesh(tmp_path, {"unet": [unet]}) as mesh:
        await drain(unet_pb2_grpc.UnetServiceStub(mesh.channel).Denoise(unet_pb2.DenoiseRequest(), timeout=1200))
    assert unet.remaining_s is not None and 1190 < unet.remaining_s <= 1200 * ROUNDED


async def test_large_messages_pass_both_ways(mesh: Mesh) -> None:
    content = bytes(20 << 20)
    request = vae_pb2.EncodeRequest(image=types_pb2.Image(content=content))
    reply = await vae_pb2_grpc.VaeServiceStub(mesh.channel).Encode(request, timeout=30)
    assert len(reply.posterior.mean.content) == len(content)


async def test_rooms_that_start_late_are_found(tmp_path: Path) -> None:
    port = free_port()
    async with running_envoy(tmp_path, {"vae": [port]}) as envoy, open_channel(f"127.0.0.1:{envoy.mesh}") as channel:
        mesh = Mesh(envoy, channel, channel, {})
        assert await mesh.health("controlmesh.v1.VaeService") == "UNAVAILABLE"

        async def serving() -> bool:
            return await mesh.health("controlmesh.v1.VaeService") == "SERVING"

        async with running_room("vae", Vae(), port):
            await eventually(serving, "Envoy finds the room")
