"""GenerationService: the same generations for callers inside the cluster."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from controlmesh.v1 import generation_pb2, generation_pb2_grpc, types_pb2
from gateway.bootstrap import open_gateway
from gateway.dialects.table import VOICES
from gateway.rpc.servicer import Generations
from gateway.settings import GatewaySettings
from mesh.interceptors import CallInterceptor
from mesh.pictures import decode, encode
from tests.rigs.services import FakeRooms

PICTURE = encode(np.zeros((64, 96, 3), np.uint8))
GOOD, BROKEN = types_pb2.Image(content=PICTURE), types_pb2.Image(content=b"no picture")


@asynccontextmanager
async def face(**settings: Any) -> AsyncIterator[tuple[FakeRooms, generation_pb2_grpc.GenerationServiceStub]]:
    async with served(**settings) as (rooms, channel):
        yield rooms, generation_pb2_grpc.GenerationServiceStub(channel)


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[FakeRooms, grpc.aio.Channel]]:
    async with (
        FakeRooms() as rooms,
        open_gateway(GatewaySettings(mesh_address=rooms.address, **settings), VOICES) as gateway,
    ):
        server = grpc.aio.server(interceptors=[CallInterceptor()])
        generation_pb2_grpc.add_GenerationServiceServicer_to_server(Generations(gateway), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield rooms, channel
        await server.stop(None)


async def test_progress_then_pictures() -> None:
    control = types_pb2.Control(kind="canny", image=types_pb2.Image(content=PICTURE), auto_hint=True, weight=1, end=1)
    request = generation_pb2.GenerateRequest(
        prompt="a boat", controls=[control], steps=3, seed=9, samples=2, format=types_pb2.IMAGE_FORMAT_PNG
    )
    async with face() as (_, stub):
        messages = [message async for message in stub.Generate(request)]
    progress = [message.progress for message in messages if message.WhichOneof("event") == "progress"]
    assert progress and all(report.steps == 6 for report in progress)
    result = messages[-1].result
    assert [image.seed for image in result.images] == [9, 10] and len(result.id) == 32
    for image in result.images:
        assert (image.image.width, image.image.height, image.image.format) == (96, 64, types_pb2.IMAGE_FORMAT_PNG)
        assert decode(image.image.content)[0, 0, 0] == image.seed


async def test_absent_fields_take_the_defaults_of_the_http_api() -> None:
    async with face() as (rooms, stub):
        [_ async for _ in stub.Generate(generation_pb2.GenerateRequest(prompt="a boat"))]
    asked = rooms.seen.denoised[0]
    assert (asked.steps, asked.guidance_scale, asked.scheduler) == (20, 7.5, "DDIMScheduler")

    assert not asked.HasField("true_guidance_scale")
    assert (asked.HasField("strength"), asked.HasField("use_karras_sigmas"), asked.preview_every) == (False, False, 0)
    assert rooms.seen.prepared[0].prompt_weighting is True


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"\x12\x02\xff\xfe"])
async def test_bytes_that_are_no_message_are_the_callers_fault(content: bytes) -> None:
    async with served() as (rooms, channel):
        call = channel.unary_stream("/controlmesh.v1.GenerationService/Generate")(content)
        with pytest.raises(grpc.aio.AioRpcError, match=r"is no message of .*GenerationService/Generate") as raised:
            [_ async for _ in call]
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT and not rooms.seen.prepared
        with pytest.raises(grpc.aio.AioRpcError, match="it is broken, or a text in it is not UTF-8") as raised:
            await channel.unary_unary("/controlmesh.v1.GenerationService/GetJob")(b"\x0a\x02\xff\xfe")
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("family", "only"),
    [
        ("sd15", {"clip_skip": 2}),
        ("sdxl", {"original_width": 500, "original_height": 400, "crop_left": 3, "crop_top": 7}),
        ("flux", {"true_guidance_scale": 2.5}),
    ],
)
async def test_fields_of_a_family_reach_its_rooms_and_are_refused_by_the_others(
    family: str, only: dict[str, float]
) -> None:
    async with face() as (rooms, stub):
        rooms.family = family
        [_ async for _ in stub.Generate(generation_pb2.GenerateRequest(prompt="a boat", **only))]
    prepared, asked = rooms.seen.prepared[0], rooms.seen.denoised[0]
    for field, value in only.items():
        assert getattr(asked if field == "true_guidance_scale" else prepared, field) == value
    assert prepared.true_guidance == (family == "flux")
    for other in {"sd15": ["flux"], "sdxl": ["sd15", "flux"], "flux": ["sd15", "sdxl"]}[family]:
        for field, value in only.items():
            async with face() as (rooms, stub):
                rooms.family = other
                with pytest.raises(grpc.aio.AioRpcError, match=f"{field} is not supported by this model"):
                    [_ async for _ in stub.Generate(generation_pb2.GenerateRequest(prompt="a boat", **{field: value}))]
            assert not rooms.seen.prepared


async def test_every_field_reaches_the_rooms() -> None:
    image, mask = types_pb2.Image(content=PICTURE), types_pb2.Image(content=encode(np.ones((8, 8, 3), np.uint8)))
    request = generation_pb2.GenerateRequest(
        controls=[
            types_pb2.Control(kind="canny"),
            types_pb2.Control(
                kind="inpaint", image=mask, mask=image, auto_hint=False, weight=0.5, start=0.25, end=0.75
            ),
        ],
        scheduler="DPMSolverMultistepScheduler",
        steps=4,
        seed=3,
        samples=2,
        image=image,
        mask=mask,
        strength=0.5,
        guess_mode=True,
        use_karras_sigmas=False,
        algorithm_type="sde-dpmsolver++",
        prompt_weighting=False,
        enhance_prompt=True,
        enhance_style="comic",
        preview_every=2,
        keep_unmasked=True,
    )
    request.controls.add(kind="qrcode", text="a b", extractor="words")
    async with face() as (rooms, stub):
        messages = [message async for message in stub.Generate(request)]
    prepared, asked = rooms.seen.prepared[0], rooms.seen.denoised[0]
    assert (prepared.mask.content, prepared.prompt_weighting, prepared.enhance_prompt) == (mask.content, False, True)
    assert [(asked.original.content, asked.HasField("mask")) for asked in rooms.seen.decoded] == [(PICTURE, True)] * 2
    first, second, third = prepared.controls
    assert (third.text, third.extractor, third.HasField("image")) == ("a b", "words", False)
    assert (first.image.content, first.HasField("mask")) == (PICTURE, False)
    assert (second.image.content, second.mask.content, second.auto_hint) == (mask.content, PICTURE, False)
    assert (second.weight, second.start, second.end) == (0.5, 0.25, 0.75)
    assert len(rooms.seen.encoded) == 1 and rooms.seen.encoded[0].image.content == PICTURE
    assert asked.HasField("initial") and asked.conditioning.HasField("mask")
    assert (asked.strength, asked.guess_mode, asked.algorithm_type) == (0.5, True, "sde-dpmsolver++")
    assert asked.HasField("use_karras_sigmas") and asked.use_karras_sigmas is False
    previews = [m.progress for m in messages if m.WhichOneof("event") == "progress" and m.progress.preview.content]
    assert previews and all(progress.preview.format == types_pb2.IMAGE_FORMAT_PNG for progress in previews)
    for progress in previews:
        seed, step, _ = decode(progress.preview.content)[0, 0]
        assert (seed, step) == (3 + progress.preview_of, 2)
        assert (progress.preview.width, progress.preview.height) == (12, 8)
    result = messages[-1].result
    assert (result.prompt, result.negative_prompt) == ("comic of , best quality", "photo")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (generation_pb2.GenerateRequest(prompt="x", steps=0), "steps"),
        (generation_pb2.GenerateRequest(prompt="x", width=100), "width"),
        (generation_pb2.GenerateRequest(prompt="x", model="nope"), "model"),
        (generation_pb2.GenerateRequest(prompt="x", controls=[types_pb2.Control(kind="canny")]), "controls[0].image"),
        (
            generation_pb2.GenerateRequest(
                prompt="x", controls=[types_pb2.Control(kind="qrcode", image=GOOD, text="a")]
            ),
            "controls[0].text",
        ),
        (
            generation_pb2.GenerateRequest(
                prompt="x", controls=[types_pb2.Control(kind="canny", image=GOOD, extractor="a/b")]
            ),
            "controls[0].extractor",
        ),
        (generation_pb2.GenerateRequest(prompt="x", image=BROKEN), "image"),
        (generation_pb2.GenerateRequest(prompt="x", image=types_pb2.Image()), "image"),
        (generation_pb2.GenerateRequest(prompt="x", image=GOOD, mask=BROKEN), "mask"),
        (generation_pb2.GenerateRequest(prompt="x", mask=GOOD), "mask"),
        (
            generation_pb2.GenerateRequest(
                prompt="x", controls=[types_pb2.Control(kind="inpaint", image=GOOD, mask=BROKEN)]
            ),
            "controls[0].mask",
        ),
        (generation_pb2.GenerateRequest(prompt="x", strength=0.5), "strength"),
        (generation_pb2.GenerateRequest(prompt="x", image=GOOD, strength=float("nan")), "strength"),
        (generation_pb2.GenerateRequest(prompt="x", image=GOOD, strength=float("inf")), "strength"),
        (generation_pb2.GenerateRequest(prompt="x", guidance_scale=float("nan")), "guidance_scale"),
        (generation_pb2.GenerateRequest(prompt="x", preview_every=2**31 - 1), "preview_every"),
        (generation_pb2.GenerateRequest(prompt="x", preview_every=-1), "preview_every"),
        (generation_pb2.GenerateRequest(prompt="x", guess_mode=True), "guess_mode"),
        (generation_pb2.GenerateRequest(prompt="x", algorithm_type="nope"), "algorithm_type"),
        (generation_pb2.GenerateRequest(prompt="x", scheduler="DDIMInverseScheduler"), "scheduler"),
    ],
)
async def test_what_is_wrong_is_named(request_: generation_pb2.GenerateRequest, field: str) -> None:
    async with face() as (_, stub):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [_ async for _ in stub.Generate(request_)]
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert dict(caught.value.trailing_metadata() or ())["controlmesh-field"] == field


async def test_cancelling_the_call_cancels_the_work() -> None:
    async with face() as (rooms, stub):
        rooms.pace.clear()
        call = stub.Generate(generation_pb2.GenerateRequest(prompt="a boat"))
        await rooms.seen.started.wait()
        call.cancel()
        await asyncio.wait_for(rooms.seen.cancelled.wait(), 2)


async def test_a_key_is_asked_for_where_there_are_keys() -> None:
    request = generation_pb2.GenerateRequest(prompt="a boat")
    async with face(api_keys=("mine",)) as (_, stub):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [_ async for _ in stub.Generate(request)]
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        messages = [m async for m in stub.Generate(request, metadata=(("authorization", "Bearer mine"),))]
        assert messages[-1].result.images
