"""The gRPC server that every service runs: health by probe, reflection, metrics, one interceptor, graceful drain."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.instrumentation.grpc.filters import service_prefix

from mesh.channels import MESSAGE_OPTIONS
from mesh.errors import MeshError, Unavailable
from mesh.interceptors import CallInterceptor, StreamsEnd
from mesh.settings import Common, setting
from mesh.telemetry import log, serve_metrics

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_NOT_READY_INTERVAL_S = 0.25
# Between two questions to the backend while a check waits for it.
_ASK_AGAIN_S = 1.0


class Backend(Protocol):
    """What a readiness check computes on: it tells a server that hangs from one with much to do."""

    async def answers(self) -> None:
        """Raise MeshError, within about a second, unless the backend answers."""

    def busy(self) -> bool:
        """Whether calls of requests wait for the backend at the moment, so that a check has to wait as well."""


@dataclass(frozen=True)
class ServerSettings(Common):
    """Settings of every gRPC service; each service gives the addresses their own defaults."""

    address: str = setting("127.0.0.1:0", "host:port of the gRPC server.")
    metrics_address: str = setting("", "host:port of Prometheus' /metrics; unset: none.")
    probe_interval_s: float = setting(2.0, "Seconds between readiness checks.", env="CN_PROBE_INTERVAL_S")
    probe_timeout_s: float = setting(
        10.0,
        "Seconds after which a readiness check has failed, unless the model server has requests of this service.",
        env="CN_PROBE_TIMEOUT_S",
    )
    drain_s: float = setting(
        2.5, "Seconds from reporting NOT_SERVING to refusing new calls at shutdown.", env="CN_DRAIN_S"
    )
    grace_s: float = setting(20.0, "Seconds that calls in flight have to finish at shutdown.", env="CN_GRACE_S")


async def serve(
    settings: ServerSettings,
    services: dict[str, Callable[[grpc.aio.Server], None]],
    probe: Callable[[], Awaitable[None]],
    stop: asyncio.Event | None = None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    backend: Backend | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`, then drain: NOT_SERVING, wait, refuse new calls, let the rest finish.

    Args:
        settings: addresses and times.
        services: full gRPC service name -> function that adds its servicer to the server.
        probe: raises MeshError while the service could not answer a real request; its result is the service's health.
        stop: set it to stop the server; None creates one.
        interceptors: the service's own, which stand behind the common ones.
        backend: what `probe` computes on; None if it has a limit of its own.

    Raises:
        SystemExit: the server can't listen on the address.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Our own services only: the interceptor expects every stream to be a generator, which Health.Watch is not.
    traces = aio_server_interceptor(filter_=service_prefix("controlmesh."))  # type: ignore[no-untyped-call]
    server = grpc.aio.server(
        interceptors=[StreamsEnd(), traces, CallInterceptor(), *interceptors], options=MESSAGE_OPTIONS
    )
    for add in services.values():
        add(server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    try:
        server.add_insecure_port(settings.address)
    except RuntimeError:
        raise SystemExit(f"can't listen on {settings.address}; is another process using it?") from None
    if settings.metrics_address:
        serve_metrics(settings.metrics_address)
    await server.start()
    log.info("listening", address=settings.address)
    check = partial(checked, probe, backend, settings.probe_timeout_s)
    watch = asyncio.create_task(_watch(checks, ["", *services], check, settings.probe_interval_s))
    await stop.wait()
    watch.cancel()
    log.info("draining", seconds=settings.drain_s)
    await checks.enter_graceful_shutdown()
    await asyncio.sleep(settings.drain_s)
    await server.stop(settings.grace_s)
    log.info("stopped")


async def checked(probe: Callable[[], Awaitable[None]], backend: Backend | None, timeout_s: float) -> None:
    """Await a readiness check, but not for ever: a server that was stopped, or hangs, answers nothing at all.

    While the check runs, the backend is asked whether it answers. A check that takes longer than `timeout_s` goes on
    only while the backend is busy with requests, behind which the check has to wait.

    Raises:
        MeshError: what `probe` or `backend.answers` raises.
        Unavailable: the check did not end in time.
    """
    check = asyncio.ensure_future(probe())
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        while not check.done():
            if backend is not None:
                await _first(check, backend.answers())
            await asyncio.wait({check}, timeout=min(_ASK_AGAIN_S, timeout_s))
            late = not check.done() and loop.time() - began >= timeout_s
            if late and not (backend is not None and backend.busy()):
                raise Unavailable(f"the readiness check did not end within {timeout_s:g} s", retry_after_s=2)
        check.result()
    finally:
        check.cancel()
        await asyncio.gather(check, return_exceptions=True)


async def _first(check: "asyncio.Future[None]", question: Coroutine[Any, Any, None]) -> None:
    """Await the answer to `question`, or `check` if that is done earlier. Raises what the answer raises."""
    asked = asyncio.ensure_future(question)
    try:
        await asyncio.wait({check, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not check.done():
            asked.result()
    finally:
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


async def _watch(
    checks: health.aio.HealthServicer, names: list[str], probe: Callable[[], Awaitable[None]], interval_s: float
) -> None:
    ready: bool | None = None
    while True:
        try:
            await probe()
            now, reason = True, ""
        except MeshError as error:
            now, reason = False, error.message
        except Exception as error:
            # Whatever nobody foresaw must not leave the last answer standing for ever.
            log.error("unexpected error in the readiness check", exc_info=error)
            now, reason = False, "the readiness check failed"
        if now != ready:
            ready = now
            for name in names:
                await checks.set(name, SERVING if ready else NOT_SERVING)
            log.info("ready" if ready else "not ready", reason=reason)
        # The model server sends no signal that we could wait for, so this polls. While the service is not ready it
        # polls more often, because callers are waiting.
        await asyncio.sleep(interval_s if ready else min(interval_s, _NOT_READY_INTERVAL_S))
