"""Client channels to other services: message size, keepalive, request id, traces, and errors as MeshError."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import grpc
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from mesh.errors import from_rpc
from mesh.telemetry import REQUEST_ID_METADATA, request_id

T = TypeVar("T")

# Five 1024-px hints are 15 MiB; a picture may be 16 MiB as a file.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

MESSAGE_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)
_CLIENT_OPTIONS = (
    *MESSAGE_OPTIONS,
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A service that was killed is back within seconds; do not wait two minutes before reconnecting.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


_CALLS: ContextVar[list[Any]] = ContextVar("calls")


class _Cancels(grpc.aio.UnaryUnaryClientInterceptor):
    """Cancels a unary call whose caller is cancelled; stands before the interceptor of traces.

    That one waits for the call's status, so a cancelled caller ends its waiting and leaves the call itself running.
    """

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        calls: list[Any] = []
        _CALLS.set(calls)
        try:
            return await continuation(client_call_details, request)
        except asyncio.CancelledError:
            for one in calls:
                one.cancel()
            raise


class _Holds(grpc.aio.UnaryUnaryClientInterceptor):
    """Holds the call itself for `_Cancels`; stands behind the interceptor of traces."""

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        made = await continuation(client_call_details, request)
        _CALLS.get().append(made)
        return made


def open_channel(target: str) -> grpc.aio.Channel:
    """Open a channel to `target` (host:port) with the mesh's limits; calls carry the trace."""
    traces = aio_client_interceptors()  # type: ignore[no-untyped-call]
    return grpc.aio.insecure_channel(target, options=_CLIENT_OPTIONS, interceptors=[_Cancels(), *traces, _Holds()])


def outgoing() -> tuple[tuple[str, str], ...]:
    """Metadata for a call made on behalf of the request being served."""
    return ((REQUEST_ID_METADATA, request_id.get()),) if request_id.get() else ()


async def call(awaitable: Awaitable[T]) -> T:
    """Await the call's response.

    Raises:
        MeshError: the other service's error, or Unavailable and the like if the transport failed.
    """
    try:
        return await awaitable
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error) from error


async def stream(messages: AsyncIterator[T]) -> AsyncIterator[T]:
    """Yield the call's responses; errors as in `call`. A caller that stops early must cancel the call."""
    try:
        async for message in messages:
            yield message
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error) from error
