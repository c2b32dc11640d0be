"""Webhooks of what is no job: sent by this process alone, in a few tries, and forgotten if it dies."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from gateway.delivery import Sender, signature
from gateway.outside import Outside
from mesh.telemetry import log

_PAUSES_S = (0.0, 5.0, 60.0)


class Messenger:
    """Tells.

    Args:
        allow: host:port of private addresses that may be told.
        secret_of: owner -> what signs what is told for it.
    """

    def __init__(self, allow: tuple[str, ...], secret_of: Callable[[str], Awaitable[str]]) -> None:
        self._sender = Sender(Outside(allow=allow))
        self._secret_of = secret_of

    async def tell(self, owner: str, url: str, body: Mapping[str, Any]) -> bool:
        """Send `body` to `url`, signed; whether it was heard."""
        secret, id = await self._secret_of(owner), f"msg_{secrets.token_hex(16)}"
        content = orjson.dumps(body).decode()
        for pause_s in _PAUSES_S:
            await asyncio.sleep(pause_s)
            answer = await self._sender.post(url, content, signature(secret, id, time.time(), content))
            if answer.is_success:
                return True
            if answer.is_gone:
                break
        log.warning("webhook was not heard", delivery=id, answer=str(answer))
        return False
