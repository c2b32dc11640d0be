"""The mesh listener on real Envoy: which calls are sent twice, which never, and who gets no calls."""

import asyncio
from pathlib import Path

import grpc
import pytest

from controlmesh.v1 import (
    unet_pb2,
    unet_pb2_grpc,
    vae_pb2,
    vae_pb2_grpc,
)
from tests.rigs.envoy import Relay, eventually
from tests.rigs.envoy_services import Unet, Vae, drain, failure, running_mesh


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
