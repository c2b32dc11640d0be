"""One look at the services and the database a second, however many ask."""

import asyncio
from types import SimpleNamespace
from typing import Any

from gateway.app.readiness import KEPT_S, Readiness


class Services:
    """Counts how often it is asked; answers when told."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = asyncio.Event()
        self.away: list[str] = []

    async def missing(self) -> list[str]:
        self.asked += 1
        await self.answer.wait()
        return list(self.away)


class Records:
    """A database that answers."""

    async def probe(self) -> None:
        return


async def test_a_hundred_who_ask_are_one_look() -> None:
    now = 100.0
    services = Services()
    gateway: Any = SimpleNamespace(leaving=asyncio.Event(), services=services, database=Records())
    readiness = Readiness(gateway, clock=lambda: now)
    asking = [asyncio.create_task(readiness.missing()) for _ in range(100)]
    await asyncio.sleep(0)
    # One that leaves takes nothing from the others.
    asking[0].cancel()
    services.answer.set()
    assert await asyncio.gather(*asking[1:]) == [[]] * 99
    services.away = ["unet"]
    assert await readiness.missing() == []
    assert services.asked == 1
    now += KEPT_S
    assert await readiness.missing() == ["unet"]
    assert services.asked == 2
    # Shutting down is known at once.
    gateway.leaving.set()
    assert await readiness.missing() == ["gateway"]
    assert services.asked == 2
