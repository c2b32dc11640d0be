"""Places for hints are shared by owner; who waits too much is refused; none is lost."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from gateway.generation.hint_places import HintPlaces
from mesh.errors import Overloaded, TooOften


class Crowd:
    """Callers that hold their places until they are told."""

    def __init__(self, places: int, share: float = 1.0) -> None:
        self.places = HintPlaces(places, share)
        self.begun: list[str] = []
        self._go: list[asyncio.Event] = []

    async def _hold(self, owner: str, is_sole: bool, go: asyncio.Event) -> None:
        async with self.places.of(owner, is_sole):
            self.begun.append(owner)
            self._go.append(go)
            await go.wait()

    async def ask(self, owner: str, *, is_sole: bool = False) -> asyncio.Task[None]:
        task = asyncio.create_task(self._hold(owner, is_sole, asyncio.Event()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task

    async def end_one(self) -> None:
        self._go.pop(0).set()
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_flood_leaves_room_and_the_next_place() -> None:
    crowd = Crowd(2)
    flood = [await crowd.ask("flood") for _ in range(2 + 8)]
    refused = await crowd.ask("flood")
    with pytest.raises(TooOften, match="8 of your hints") as error:
        await refused
    assert error.value.retry_after_s
    other = [await crowd.ask("other") for _ in range(4)]
    assert crowd.begun == ["flood"] * 2
    await crowd.end_one()
    assert crowd.begun[-1] == "other"
    for _ in range(4):
        await crowd.end_one()
    assert crowd.begun[2:].count("other") in (2, 3), "turn by turn"
    for task in (*flood, *other):
        task.cancel()
    await asyncio.gather(*flood, *other, return_exceptions=True)


async def test_who_is_alone_has_all_places_and_no_more() -> None:
    crowd = Crowd(1)
    tasks = [await crowd.ask("anybody", is_sole=True) for _ in range(1 + 8)]
    with pytest.raises(Overloaded, match="8 hints are already waiting"):
        await (await crowd.ask("anybody", is_sole=True))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with AsyncExitStack() as stack:
        await asyncio.wait_for(stack.enter_async_context(crowd.places.of("other")), 1)


async def test_a_place_given_to_one_who_left_is_given_on() -> None:
    crowd = Crowd(1)
    first, leaving, last = [await crowd.ask(owner) for owner in ("a", "b", "c")]
    crowd._go.pop(0).set()
    await first
    leaving.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert crowd.begun == ["a", "c"] or crowd.begun[-1] == "c"
    last.cancel()
