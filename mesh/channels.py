"""Client channels to other services: message size, keepalive, request id, traces, and errors as MeshError."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import grpc
from opentelemetry.instrumentation.grpc import aio_client_interceptors

from mesh.errors import from_rpc, is_unseen
from mesh.telemetry import REQUEST_ID_METADATA, RETRIES, request_id

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


class Retries:
    """Makes calls again that were refused before a service saw them, as long as most calls are not.

    Each call earns a fraction of a retry, and each retry costs one, as in gRPC's retry throttling: while a tenth of the
    calls are refused all of those are tried again, and when everything is away hardly any. Only what no service has
    seen is tried again: errors that a service answered with, a full one's among them, and streams that have begun are
    not.

    Args:
        share: retries that a call earns.
        most: retries that can be saved up; so many there are at the beginning.
        pauses_s: pauses in seconds before the retries of one call, each up to half longer at random.
    """

    def __init__(self, share: float = 0.2, most: float = 10.0, pauses_s: tuple[float, ...] = (0.02, 0.08, 0.3)) -> None:
        self._share = share
        self._most = self._left = most
        self._pauses_s = pauses_s

    async def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """The response of the call that `make` makes, which may be made several times; errors as in `call`."""
        for pause_s in self._begin():
            try:
                return await make()
            except grpc.aio.AioRpcError as error:
                if pause_s is None or not self._may_retry(error):
                    raise from_rpc(error) from error
            await asyncio.sleep(pause_s)
        raise AssertionError("the last pause is None")

    async def stream(self, make: Callable[[], Any]) -> AsyncGenerator[Any]:
        """Yield the responses of the call that `make` makes, which may be made several times until a response has come;
        errors as in `call`. Close this iterator to cancel the call."""
        for pause_s in self._begin():
            answers, seen = make(), False
            try:
                async for answer in answers:
                    seen = True
                    yield answer
                return
            except grpc.aio.AioRpcError as error:
                if pause_s is None or seen or not self._may_retry(error):
                    raise from_rpc(error) from error
            finally:
                answers.cancel()
            await asyncio.sleep(pause_s)

    def _begin(self) -> tuple[float | None, ...]:
        self._left = min(self._most, self._left + self._share)
        return (*(pause_s * random.uniform(1, 1.5) for pause_s in self._pauses_s), None)

    def _may_retry(self, error: grpc.aio.AioRpcError) -> bool:
        if not is_unseen(error) or self._left < 1:
            return False
        self._left -= 1
        RETRIES.inc()
        return True
