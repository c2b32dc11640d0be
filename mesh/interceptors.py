"""Turns errors into gRPC status, gives each call its request id, metrics and log line, and ends streams cleanly."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, cast

import grpc
from grpc.aio import ServerInterceptor

from mesh.errors import BEGUN_METADATA, FIELD_METADATA, RETRY_METADATA, InvalidInput, MeshError, unexpected
from mesh.telemetry import REQUEST_ID_METADATA, RPC_SECONDS, RPCS, log, request_id

# Health checks come every second; they are neither logged nor counted.
_QUIET = "/grpc."
_ENDS: ContextVar[AsyncExitStack] = ContextVar("ends")
"""What closes with a call of StreamsEnd: the tracing interceptor between it and the service closes nothing itself."""


class CallInterceptor(ServerInterceptor):
    """Wraps every method: request id, metrics, one log line; MeshError -> its status, anything else -> INTERNAL."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(details)
        if handler is None or details.method.startswith(_QUIET):
            return handler
        method = details.method
        given = dict(details.invocation_metadata or ()).get(REQUEST_ID_METADATA)
        call_id = str(given) if given else uuid.uuid4().hex
        read = _read_by(handler.request_deserializer)
        if handler.unary_unary is not None:
            answer = handler.unary_unary

            async def unary(request: Any, context: Any) -> Any:
                with _observed(method, call_id) as outcome:
                    try:
                        _check_read(request, method)
                        return await answer(request, context)
                    except Exception as error:
                        await _abort(context, error, outcome)

            return grpc.unary_unary_rpc_method_handler(unary, read, handler.response_serializer)
        # The stubs know only the synchronous form, an Iterator.
        stream: Any = handler.unary_stream or handler.stream_stream
        if stream is not None:

            async def streaming(request: Any, context: Any) -> AsyncIterator[Any]:
                with _observed(method, call_id) as outcome:
                    try:
                        _check_read(request, method)
                        await context.send_initial_metadata(((BEGUN_METADATA, "1"),))
                        async with AsyncExitStack() as own:
                            ends = _ENDS.get(None) or own
                            messages = await ends.enter_async_context(aclosing(stream(request, context)))
                            async for message in messages:
                                yield message
                    except Exception as error:
                        await _abort(context, error, outcome)

            build = grpc.unary_stream_rpc_method_handler
            if handler.stream_stream is not None:
                build = grpc.stream_stream_rpc_method_handler
                read = handler.request_deserializer  # it reads the messages after the call has begun
            return build(streaming, read, handler.response_serializer)
        return handler


class _Unread:
    """Stands for bytes that are no message."""


_UNREAD = _Unread()


def _read_by(deserializer: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """`deserializer`, giving _UNREAD where it raises: grpc.aio would answer UNKNOWN and the name of a class."""
    if deserializer is None:
        return None

    def read(content: bytes) -> Any:
        try:
            return deserializer(content)
        except Exception:
            return _UNREAD

    return read


def _check_read(request: Any, method: str) -> None:
    if request is _UNREAD:
        raise InvalidInput(f"the request is no message of {method}: it is broken, or a text in it is not UTF-8")


class StreamsEnd(ServerInterceptor):
    """Ends a stream's generator in the task that ran it, also if its caller leaves while a message is being sent.

    grpc.aio leaves such a generator to the garbage collector, which closes it in another context: there a span can't be
    taken off again, and OpenTelemetry logs a traceback. It has to stand before all other interceptors.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(details)
        stream: Any = handler and (handler.unary_stream or handler.stream_stream)
        # Health.Watch and reflection are written otherwise.
        if handler is None or stream is None or details.method.startswith(_QUIET):
            return handler

        async def written(request: Any, context: Any) -> None:
            async with aclosing(stream(request, context)) as messages, AsyncExitStack() as ends:
                _ENDS.set(ends)
                async for message in messages:
                    await context.write(message)

        build: Any = grpc.unary_stream_rpc_method_handler
        if handler.stream_stream is not None:
            build = grpc.stream_stream_rpc_method_handler
        return cast(
            "grpc.RpcMethodHandler[Any, Any]",
            build(written, handler.request_deserializer, handler.response_serializer),
        )


@contextmanager
def _observed(method: str, call_id: str) -> Iterator[dict[str, str]]:
    token = request_id.set(call_id)
    outcome = {"code": "OK"}
    began = time.monotonic()
    try:
        yield outcome
    except (asyncio.CancelledError, GeneratorExit):
        outcome["code"] = "CANCELLED"
        raise
    finally:
        seconds = time.monotonic() - began
        RPCS.labels(method, outcome["code"]).inc()
        RPC_SECONDS.labels(method).observe(seconds)
        log.info("rpc", method=method, seconds=round(seconds, 4), **outcome)
        # A cancelled stream is closed from another context, where the token is not valid.
        if request_id.get() == call_id:
            with suppress(ValueError):
                request_id.reset(token)


async def _abort(context: Any, error: Exception, outcome: dict[str, str]) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, MeshError):
        log.error("unexpected error", exc_info=error)
        error = unexpected(request_id.get())
    outcome["code"] = error.code.name
    outcome["reason"] = error.message
    metadata = [("controlmesh-error", type(error).__name__)]
    if error.field:
        metadata.append((FIELD_METADATA, error.field))
    if error.retry_after_s is not None:
        metadata.append((RETRY_METADATA, str(error.retry_after_s)))
    await context.abort(error.code, error.message, tuple(metadata))
