"""Looks at the key of a gRPC call before its message is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc.aio import ServerInterceptor

from gateway.keys.keys import Keys
from gateway.rpc.servicer import NAME
from gateway.web.authorization import bearer
from mesh.errors import Unavailable


class KeyFirst(ServerInterceptor):
    """Refuses calls of GenerationService without a valid key; nothing of their messages is read.

    Args:
        keys: of the deployment.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(details)
        if handler is None or not details.method.startswith(f"/{NAME}/"):
            return handler
        sent = dict(details.invocation_metadata or ()).get("authorization")
        key = bearer(sent if isinstance(sent, str) else None)
        if self._keys.knows(key):
            return handler

        async def refuse(messages: Any, context: Any) -> AsyncIterator[bytes]:
            self._keys.owner(key)
            # It became valid a moment ago.
            raise Unavailable("the key was not known yet; try again", retry_after_s=1)
            yield b""

        # Only a method that takes a stream decides itself when to read a message.
        return grpc.stream_stream_rpc_method_handler(refuse)
