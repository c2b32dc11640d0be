"""A gRPC server of the mesh: health by probe, reflection, metrics, one interceptor, graceful drain."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.instrumentation.grpc.filters import service_prefix

from mesh.channels import MESSAGE_OPTIONS
from mesh.errors import MeshError
from mesh.interceptors import CallInterceptor
from mesh.settings import Common, setting
from mesh.telemetry import log, serve_metrics

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

_IMPATIENT_S = 0.25


@dataclass(frozen=True)
class ServerSettings(Common):
    """What every gRPC service takes; each service gives the addresses a default of its own."""

    address: str = setting("127.0.0.1:0", "host:port of the gRPC server.")
    metrics_address: str = setting("", "host:port of Prometheus' /metrics; unset: none.")
    probe_interval_s: float = setting(2.0, "Seconds between two checks of readiness.", env="CN_PROBE_INTERVAL_S")
    drain_s: float = setting(
        2.5, "Seconds between saying NOT_SERVING and refusing new calls at shutdown.", env="CN_DRAIN_S"
    )
    grace_s: float = setting(20.0, "Seconds that calls in flight get to finish at shutdown.", env="CN_GRACE_S")


async def serve(
    settings: ServerSettings,
    services: dict[str, Callable[[grpc.aio.Server], None]],
    probe: Callable[[], Awaitable[None]],
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`, then drain: NOT_SERVING, wait, refuse new calls, let the rest finish.

    Args:
        settings: addresses and times.
        services: full gRPC service name -> function that adds its servicer to the server.
        probe: raises MeshError while the service could not answer a real request; its health follows it.
        stop: set to end the server; made here when None.

    Raises:
        SystemExit: the address can't be listened on.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Our own services only: the interceptor takes every stream for a generator, which Health.Watch is not.
    traces = aio_server_interceptor(filter_=service_prefix("controlmesh."))  # type: ignore[no-untyped-call]
    server = grpc.aio.server(interceptors=[traces, CallInterceptor()], options=MESSAGE_OPTIONS)
    for add in services.values():
        add(server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection([*services, health.SERVICE_NAME, reflection.SERVICE_NAME], server)
    try:
        server.add_insecure_port(settings.address)
    except RuntimeError:
        raise SystemExit(f"{settings.address} can't be listened on; is another process there?") from None
    if settings.metrics_address:
        serve_metrics(settings.metrics_address)
    await server.start()
    log.info("listening", address=settings.address)
    watch = asyncio.create_task(_watch(checks, ["", *services], probe, settings.probe_interval_s))
    await stop.wait()
    watch.cancel()
    log.info("draining", seconds=settings.drain_s)
    await checks.enter_graceful_shutdown()
    await asyncio.sleep(settings.drain_s)
    await server.stop(settings.grace_s)
    log.info("stopped")


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
        if now != ready:
            ready = now
            for name in names:
                await checks.set(name, SERVING if ready else NOT_SERVING)
            log.info("ready" if ready else "not ready", reason=reason)
        # Polling is what a probe is; there is no signal to wait for on the model server's side. While something is
        # missing it looks more often, because callers are waiting.
        await asyncio.sleep(interval_s if ready else min(interval_s, _IMPATIENT_S))
