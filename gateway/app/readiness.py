"""Whether a request for pictures would be served now, asked at most once a second."""

import asyncio
import time
from collections.abc import Callable

from gateway.bootstrap import Gateway
from gateway.database.connection import RecordsAway

KEPT_S = 1.0
"""Seconds for which an answer is kept: anybody may ask, and each look asks three services and the database."""


class Readiness:
    """Looks at the services and the database.

    Args:
        gateway: its parts.
        clock: seconds.
    """

    def __init__(self, gateway: Gateway, clock: Callable[[], float] = time.monotonic) -> None:
        self._gateway = gateway
        self._clock = clock
        self._look: asyncio.Task[list[str]] | None = None
        self._until = 0.0

    async def missing(self) -> list[str]:
        """Names of the services that do not serve, `database`, or `gateway` while it shuts down; none: ready."""
        if self._gateway.leaving.is_set():
            return ["gateway"]
        if self._look is None or (self._look.done() and self._clock() >= self._until):
            self._look = asyncio.create_task(self._now())
        # All who ask at the same time share one look, which goes on if one of them leaves.
        return list(await asyncio.shield(self._look))

    async def _now(self) -> list[str]:
        try:
            # Each part has a limit of its own.
            services, database = await asyncio.gather(
                self._gateway.services.missing(), self._gateway.database.probe(), return_exceptions=True
            )
            if isinstance(services, BaseException):
                raise services
            if database is None:
                return services
            if not isinstance(database, RecordsAway):
                raise database
            return [*services, "database"]
        finally:
            self._until = self._clock() + KEPT_S
