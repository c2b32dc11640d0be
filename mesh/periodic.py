"""What a process does again and again, as long as it lives."""

import asyncio
from collections.abc import Awaitable, Callable

from mesh.telemetry import log


async def every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Do `act` now and after each `seconds`; what it raises is logged, and does not end this."""
    while True:
        try:
            await act()
        except Exception as error:
            # A database that is away for a while must not end this for good.
            log.error("records can't be looked after", what=act.__qualname__, reason=type(error).__name__)
        await asyncio.sleep(seconds)


def sweep_every_s(retention_s: float) -> float:
    """Seconds between two sweeps for what is older than `retention_s`: it is kept for a tenth longer at most."""
    return min(600.0, retention_s / 10)
