"""Run a coroutine periodically, for as long as the process runs."""

import asyncio
from collections.abc import Awaitable, Callable

from mesh.telemetry import log


async def every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Run `act` now and then every `seconds`; exceptions are logged and do not end the loop."""
    while True:
        try:
            await act()
        except Exception as error:
            # A database that is unreachable for a while must not end the loop for good.
            log.error("periodic task failed", what=act.__qualname__, reason=type(error).__name__)
        await asyncio.sleep(seconds)


def sweep_every_s(retention_s: float) -> float:
    """Seconds between two sweeps for what is older than `retention_s`: it is kept for a tenth longer at most."""
    return min(600.0, retention_s / 10)
