"""A stream whose caller leaves ends in the task that ran it, wherever it was at that moment."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.instrumentation.grpc.filters import service_prefix

from controlmesh.v1 import types_pb2, unet_pb2, unet_pb2_grpc
from mesh.channels import MESSAGE_OPTIONS
from mesh.errors import InvalidInput
from mesh.interceptors import CallInterceptor, StreamsEnd


class Streams(unet_pb2_grpc.UnetServiceServicer):
    """Denoise answers until it is left, or as often as there are steps, or with an error for no steps."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), asyncio.Event()
        self.tasks: list[Any] = []
        self.message = unet_pb2.DenoiseResponse()

    async def Denoise(self, request: Any, context: Any) -> AsyncIterator[unet_pb2.DenoiseResponse]:
        self.tasks.append(asyncio.current_task())
        try:
            with trace.get_tracer("test").start_as_current_span("loop"):
                if request.steps == 0:
                    raise InvalidInput("must be 1 or more", field="steps")
                for _ in range(request.steps):
                    self.begun.set()
                    yield self.message
                if request.seed:
                    await asyncio.Event().wait()
        finally:
            self.tasks.append(asyncio.current_task())
            self.ended.set()


@pytest.fixture
async def streams() -> AsyncIterator[tuple[Streams, unet_pb2_grpc.UnetServiceStub]]:
    traces = aio_server_interceptor(filter_=service_prefix("controlmesh."))  # type: ignore[no-untyped-call]
    served = Streams()
    server = grpc.aio.server(interceptors=[StreamsEnd(), traces, CallInterceptor()], options=MESSAGE_OPTIONS)
    unet_pb2_grpc.add_UnetServiceServicer_to_server(served, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=MESSAGE_OPTIONS) as channel:
        yield served, unet_pb2_grpc.UnetServiceStub(channel)
    await server.stop(None)


async def test_a_stream_is_sent_whole(streams: tuple[Streams, unet_pb2_grpc.UnetServiceStub]) -> None:
    _, stub = streams
    assert len([one async for one in stub.Denoise(unet_pb2.DenoiseRequest(steps=5))]) == 5


async def test_its_errors_are_sent(streams: tuple[Streams, unet_pb2_grpc.UnetServiceStub]) -> None:
    _, stub = streams
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _one in stub.Denoise(unet_pb2.DenoiseRequest(steps=0)):
            pass
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "must be 1 or more")


@pytest.mark.parametrize("while_sending", [True, False])
async def test_who_leaves_ends_it_in_its_own_task(
    streams: tuple[Streams, unet_pb2_grpc.UnetServiceStub], while_sending: bool, caplog: pytest.LogCaptureFixture
) -> None:
    served, stub = streams
    request = unet_pb2.DenoiseRequest(steps=1, seed=1)
    if while_sending:
        # Nobody reads, so that the connection is full after some of these.
        request.steps = 10_000
        served.message.latents.CopyFrom(types_pb2.Latents(samples=types_pb2.Tensor(content=bytes(1 << 20))))
    with caplog.at_level(logging.ERROR):
        call = stub.Denoise(request)
        await asyncio.wait_for(served.begun.wait(), 10)
        await call.read()
        call.cancel()
        await asyncio.wait_for(served.ended.wait(), 10)
        gc.collect()
    assert "detach" not in caplog.text
    assert served.tasks[0] is served.tasks[1]
