"""Serves HTTP (uvicorn) and gRPC (mesh.server) in one event loop; one signal drains both."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import uvicorn

from controlmesh.v1 import generation_pb2_grpc
from gateway.app.application import make_app
from gateway.bootstrap import open_gateway
from gateway.dialects.table import VOICES
from gateway.rpc import servicer as grpc_face
from gateway.rpc.entrance import KeyFirst
from gateway.settings import GatewaySettings, split_address
from mesh.server import serve
from mesh.telemetry import log

HTTP: Mapping[str, Any] = {
    # By name, so that a missing parser is an error instead of a fallback to a slow one.
    "http": "httptools",
    "ws": "none",
    # open_gateway starts and stops everything; the application has no lifespan of its own.
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    # Seconds. Far above the 4 s after which the edge closes an idle connection: a request may else meet a closing one.
    "timeout_keep_alive": 20,
    # Reading of a large body is resumed by the request's own task, and from then on the connection's callbacks run in
    # that task's context: without this, later requests on the connection would be in its trace.
    "reset_contextvars": True,
}
"""Options of uvicorn wherever the application is served."""


class _Http(uvicorn.Server):
    """uvicorn without signal handlers: `should_exit` ends it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(settings: GatewaySettings, dialect_settings: Mapping[str, Any]) -> None:
    """Serve until SIGTERM or SIGINT; then report not ready, serve for `drain_s`, and wait `grace_s` for open requests.

    Args:
        settings: of the gateway.
        dialect_settings: dialect -> its own settings.
    """
    host, port = split_address(settings.address)
    async with open_gateway(settings, VOICES) as gateway:
        stop = gateway.ending
        config = uvicorn.Config(
            make_app(gateway, dialect_settings),
            host=host,
            port=port,
            **HTTP,
            forwarded_allow_ips=list(settings.proxies),
            timeout_graceful_shutdown=int(settings.grace_s),
        )
        config.load()
        http = _Http(config)
        loop = asyncio.get_running_loop()
        log.info("HTTP server", loop=type(loop).__module__, parser=config.http_protocol_class.__module__)

        async def drain() -> None:
            await stop.wait()
            gateway.leaving.set()
            await asyncio.sleep(settings.drain_s)
            http.should_exit = True

        async def serve_http() -> None:
            try:
                await http.serve()
            except SystemExit:
                log.error("can't listen on the HTTP address", address=settings.address)
                raise
            finally:
                stop.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(drain())
            group.create_task(serve_http())
            group.create_task(
                serve(
                    replace(settings, address=settings.grpc_address),
                    {
                        grpc_face.NAME: lambda server: generation_pb2_grpc.add_GenerationServiceServicer_to_server(
                            grpc_face.Generations(gateway), server
                        )
                    },
                    gateway.services.probe,
                    stop,
                    [KeyFirst(gateway.keys)],
                )
            )
