"""Calls of other services: who stops waiting stops the call."""

import asyncio
import gc
from typing import Any

import grpc
import pytest

from controlmesh.v1 import preprocess_pb2, preprocess_pb2_grpc
from mesh.channels import call, open_channel


class Slow(preprocess_pb2_grpc.PreprocessServiceServicer):
    """Answers never, and says what came of the call."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def ListStyles(self, request: Any, context: Any) -> Any:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def test_a_caller_who_is_cancelled_cancels_the_call() -> None:
    slow, server = Slow(), grpc.aio.server()
    preprocess_pb2_grpc.add_PreprocessServiceServicer_to_server(slow, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = open_channel(f"127.0.0.1:{port}")
    stub = preprocess_pb2_grpc.PreprocessServiceStub(channel)
    # A call that is collected as garbage is cancelled, too, but that may be any time later.
    gc.disable()
    try:
        asked = asyncio.create_task(call(stub.ListStyles(preprocess_pb2.ListStylesRequest())))
        await asyncio.wait_for(slow.begun.wait(), 10)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.wait_for(slow.cancelled.wait(), 10)
    finally:
        gc.enable()
        await channel.close()
        await server.stop(None)
