"""A real gRPC server of the mesh: errors as status and back, health by probe, request ids, drain."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx2
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from controlmesh.v1 import unet_pb2, unet_pb2_grpc
from mesh import telemetry
from mesh.channels import Retries, call, open_channel, outgoing
from mesh.errors import InternalError, InvalidInput, MeshError, Overloaded, Unavailable
from mesh.server import ServerSettings, serve
from tests.rigs.ports import free_ports

NAME = "controlmesh.v1.UnetService"


@dataclass
class Room(unet_pb2_grpc.UnetServiceServicer):
    """A servicer that does what the test says, and a probe that fails while `fault` is set."""

    error: Exception | None = None
    fault: Exception | None = None
    hangs: asyncio.Event | None = None
    ids: list[str] = field(default_factory=list)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def ListModels(self, request: Any, context: Any) -> unet_pb2.ListModelsResponse:
        self.ids.append(telemetry.request_id.get())
        if self.error:
            raise self.error
        return unet_pb2.ListModelsResponse()

    async def Denoise(self, request: Any, context: Any) -> AsyncIterator[unet_pb2.DenoiseResponse]:
        yield unet_pb2.DenoiseResponse(progress=unet_pb2.DenoiseProgress(step=1, steps=2))
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error:
            raise self.error
        yield unet_pb2.DenoiseResponse(progress=unet_pb2.DenoiseProgress(step=2, steps=2))

    async def probe(self) -> None:
        if self.hangs is not None:
            await self.hangs.wait()
        if self.fault:
            raise self.fault


@dataclass
class Stand:
    """Stands where the model server would: it answers while `silent` is not set, and is as busy as the test says."""

    silent: bool = False
    much_to_do: bool = False
    asked: int = 0

    async def answers(self) -> None:
        self.asked += 1
        if self.silent:
            raise Unavailable("the model server does not answer")

    def busy(self) -> bool:
        return self.much_to_do


@dataclass
class Running:
    """A served room, its address, and how to end it."""

    room: Room
    address: str
    metrics: str
    stop: asyncio.Event
    ended: "asyncio.Task[None]"
    channel: grpc.aio.Channel
    watch: Any = None
    status: int | None = None

    async def health(self) -> int:
        async with grpc.aio.insecure_channel(self.address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=NAME), timeout=5)
        status: int = answer.status
        return status

    async def becomes(self, status: int) -> None:
        """Wait until the service's health is `status`. One watch serves the whole test: in grpcio-health-checking one
        that ends may take along what a later one waits for."""
        if self.watch is None:
            stub: Any = health_pb2_grpc.HealthStub(self.channel)
            self.watch = stub.Watch(health_pb2.HealthCheckRequest(service=NAME))
        async with asyncio.timeout(10):
            while self.status != status:
                self.status = (await self.watch.read()).status


@asynccontextmanager
async def running(
    room: Room, drain_s: float = 0.0, grace_s: float = 5.0, backend: Stand | None = None
) -> AsyncIterator[Running]:
    port, metrics = free_ports(2)
    settings = ServerSettings(
        address=f"127.0.0.1:{port}",
        metrics_address=f"127.0.0.1:{metrics}",
        probe_interval_s=0.05,
        probe_timeout_s=0.2,
        drain_s=drain_s,
        grace_s=grace_s,
    )
    stop = asyncio.Event()
    services = {NAME: lambda server: unet_pb2_grpc.add_UnetServiceServicer_to_server(room, server)}
    ended = asyncio.create_task(serve(settings, services, room.probe, stop, backend=backend))
    async with grpc.aio.insecure_channel(settings.address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 10)
        served = Running(room, settings.address, settings.metrics_address, stop, ended, channel)
        yield served
        if served.watch is not None:
            served.watch.cancel()
    room.release.set()
    stop.set()
    await asyncio.wait_for(ended, 10)


async def ask(served: Running) -> None:
    async with open_channel(served.address) as channel:
        stub: Any = unet_pb2_grpc.UnetServiceStub(channel)
        await call(stub.ListModels(unet_pb2.ListModelsRequest(), timeout=5, metadata=outgoing()))


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("steps must be 1 to 150, not 0", field="steps"),
        Overloaded("64 loops are running; try again shortly", retry_after_s=2.0),
        Unavailable("the model server does not answer", retry_after_s=1.0),
    ],
)
async def test_an_error_arrives_as_it_was_raised(error: MeshError) -> None:
    async with running(Room(error=error)) as served:
        with pytest.raises(type(error)) as caught:
            await ask(served)
    assert (caught.value.message, caught.value.field, caught.value.retry_after_s) == (
        error.message,
        error.field,
        error.retry_after_s,
    )


async def test_an_unexpected_error_tells_nothing_but_its_request_id() -> None:
    async with running(Room(error=RuntimeError("/secret/path 0xdeadbeef"))) as served:
        token = telemetry.request_id.set("request-77")
        try:
            with pytest.raises(InternalError) as caught:
                await ask(served)
        finally:
            telemetry.request_id.reset(token)
    assert "secret" not in caught.value.message
    assert "request-77" in caught.value.message


async def test_an_error_in_the_middle_of_a_stream_arrives_after_what_came_before() -> None:
    room = Room(error=InvalidInput("no such scheduler", field="scheduler"))
    room.release.set()
    async with running(room) as served, open_channel(served.address) as channel:
        stub: Any = unet_pb2_grpc.UnetServiceStub(channel)
        seen = []
        with pytest.raises(InvalidInput, match="no such scheduler"):
            async for message in Retries().stream(lambda: stub.Denoise(unet_pb2.DenoiseRequest(), timeout=5)):
                seen.append(message.progress.step)  # noqa: PERF401
    assert seen == [1]


async def test_the_request_id_travels_with_the_call() -> None:
    async with running(Room()) as served:
        token = telemetry.request_id.set("request-42")
        try:
            await ask(served)
        finally:
            telemetry.request_id.reset(token)
        await ask(served)
    assert served.room.ids[0] == "request-42"
    assert len(served.room.ids[1]) == 32


async def test_health_follows_the_probe() -> None:
    async with running(Room(fault=Unavailable("not yet"))) as served:
        await served.becomes(health_pb2.HealthCheckResponse.NOT_SERVING)
        served.room.fault = None
        await served.becomes(health_pb2.HealthCheckResponse.SERVING)
        served.room.fault = Unavailable("gone again")
        await served.becomes(health_pb2.HealthCheckResponse.NOT_SERVING)


async def test_a_probe_that_never_ends_is_not_ready() -> None:
    async with running(Room()) as served:
        await served.becomes(health_pb2.HealthCheckResponse.SERVING)
        served.room.hangs = asyncio.Event()
        await served.becomes(health_pb2.HealthCheckResponse.NOT_SERVING)
        served.room.hangs = None
        await served.becomes(health_pb2.HealthCheckResponse.SERVING)


async def test_a_probe_that_nobody_foresaw_to_fail_is_not_ready() -> None:
    async with running(Room()) as served:
        await served.becomes(health_pb2.HealthCheckResponse.SERVING)
        served.room.fault = KeyError("demo")
        await served.becomes(health_pb2.HealthCheckResponse.NOT_SERVING)


async def test_a_backend_that_answers_no_question_is_not_waited_for() -> None:
    stand = Stand(much_to_do=True)
    async with running(Room(), backend=stand) as served:
        await served.becomes(health_pb2.HealthCheckResponse.SERVING)
        served.room.hangs, stand.silent = asyncio.Event(), True
        await served.becomes(health_pb2.HealthCheckResponse.NOT_SERVING)


async def test_a_probe_behind_the_requests_of_a_busy_backend_is_waited_for() -> None:
    stand, room = Stand(much_to_do=True), Room()
    async with running(room, backend=stand) as served:
        await served.becomes(health_pb2.HealthCheckResponse.SERVING)
        room.hangs, asked = asyncio.Event(), stand.asked
        # Twice as often as the limit allows a probe that nothing explains.
        async with asyncio.timeout(10):
            while stand.asked < asked + 4:  # noqa: ASYNC110 - the backend is asked in turns
                await asyncio.sleep(0.02)
        assert await served.health() == health_pb2.HealthCheckResponse.SERVING
        stand.much_to_do = False
        await served.becomes(health_pb2.HealthCheckResponse.NOT_SERVING)


async def test_calls_in_flight_finish_while_the_server_drains() -> None:
    room = Room()
    async with running(room, drain_s=0.3) as served, open_channel(served.address) as channel:
        await served.becomes(health_pb2.HealthCheckResponse.SERVING)
        stub: Any = unet_pb2_grpc.UnetServiceStub(channel)
        messages = aiter(stub.Denoise(unet_pb2.DenoiseRequest(), timeout=10))
        assert (await anext(messages)).progress.step == 1
        served.stop.set()
        await served.becomes(health_pb2.HealthCheckResponse.NOT_SERVING)
        assert not served.ended.done()
        room.release.set()
        assert (await anext(messages)).progress.step == 2
        await asyncio.wait_for(served.ended, 10)


async def test_a_caller_that_leaves_cancels_the_work() -> None:
    room = Room()
    async with running(room) as served, open_channel(served.address) as channel:
        stub: Any = unet_pb2_grpc.UnetServiceStub(channel)
        messages = stub.Denoise(unet_pb2.DenoiseRequest(), timeout=10)
        await anext(aiter(messages))
        await asyncio.wait_for(room.entered.wait(), 5)
        messages.cancel()
        await asyncio.wait_for(room.cancelled.wait(), 5)


async def test_calls_are_counted_by_method_and_code() -> None:
    async with running(Room(error=Overloaded("full"))) as served:
        with pytest.raises(Overloaded):
            await ask(served)
        text = (await asyncio.to_thread(httpx2.get, f"http://{served.metrics}/metrics")).text
    line = 'cn_rpc_requests_total{code="RESOURCE_EXHAUSTED",method="/controlmesh.v1.UnetService/ListModels"}'
    assert line in text


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Put back how this process logs: a handler on a captured stream would fail in later tests."""
    root, kept = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.configure(**kept)


@pytest.mark.usefixtures("logging_as_before")
def test_logs_are_json_with_service_and_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    token = telemetry.request_id.set("request-9")
    try:
        telemetry.configure("room", ServerSettings())
        telemetry.log.info("something happened", graph="demo_unet")
    finally:
        telemetry.request_id.reset(token)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "something happened" in line]
    entry = json.loads(line)
    assert (entry["service"], entry["request_id"], entry["graph"], entry["level"]) == (
        "room",
        "request-9",
        "demo_unet",
        "info",
    )
