"""Places for messages: who never answers holds few of them, whatever the number of host names."""

import asyncio
from contextlib import AsyncExitStack

from gateway.webhooks.places import MOST_A_HOST, MOST_A_HOST_IN_ALL, MOST_OF_SILENT, ReceiverPlaces
from gateway.webhooks.sender import Answer


class Held:
    """Places that are held until the test ends."""

    def __init__(self) -> None:
        self.places = ReceiverPlaces()
        self.stack = AsyncExitStack()

    async def take(self, owner: str, host: str) -> bool:
        """Whether there was a place at once."""
        place = self.places.of(owner, host)
        try:
            async with asyncio.timeout(0.01):
                await self.stack.enter_async_context(place)
        except TimeoutError:
            return False
        return True

    async def taken(self, owner: str, hosts: list[str]) -> int:
        return sum([await self.take(owner, host) for host in hosts])


async def test_an_owner_leaves_places_at_a_host_to_others() -> None:
    held = Held()
    assert await held.taken("hangs", ["shared"] * 9) == MOST_A_HOST
    assert await held.taken("other", ["shared"] * 2) == 2
    assert await held.taken("third", ["shared"] * 9) + 2 + MOST_A_HOST < MOST_A_HOST_IN_ALL
    assert await held.take("fourth", "shared")
    assert await held.take("hangs", "elsewhere")
    await held.stack.aclose()
    assert await held.take("hangs", "shared")


async def test_who_does_not_answer_gets_fewer_until_it_does() -> None:
    held = Held()
    for number in range(8):
        held.places.learn("hangs", f"{number % 2}.example.org", Answer())
    assert await held.taken("hangs", [f"{number}.example.org" for number in range(32)]) == MOST_OF_SILENT
    assert await held.taken("other", [f"{number}.example.org" for number in range(32)]) == 32
    await held.stack.aclose()
    held.places.learn("hangs", "1.example.org", Answer(500))
    assert await held.taken("hangs", ["0.example.org"] * 2) == 1, "that one has not answered yet"
    assert await held.taken("hangs", ["1.example.org"] * 9) == MOST_A_HOST


async def test_who_waits_is_told_and_goes_when_a_place_is_free() -> None:
    places = ReceiverPlaces()
    first = AsyncExitStack()
    for _ in range(MOST_A_HOST):
        assert not await first.enter_async_context(places.of("a", "h"))

    async def wait() -> bool:
        async with places.of("a", "h") as waited:
            return waited

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    await first.aclose()
    assert await asyncio.wait_for(waiting, 1)
