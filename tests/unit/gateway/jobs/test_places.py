"""Places are given in the order of asking, none is lost, and no owner keeps all of them from the others."""

import asyncio
from collections import Counter

import pytest

from gateway.jobs.places import Places


async def test_a_turn_that_was_given_to_one_who_left_is_given_on() -> None:
    places = Places(1)
    await places.acquire(1)
    leaving, next_one = asyncio.create_task(places.acquire(1)), asyncio.create_task(places.acquire(1))
    await asyncio.sleep(0)
    places.release(1)
    # The turn has been given; the task learns of both in the same moment.
    leaving.cancel()
    await asyncio.wait_for(next_one, 1)
    assert leaving.cancelled() and places.waiting == 0


class Askers:
    """Owners who ask for places and keep what they get."""

    def __init__(self, places: int) -> None:
        self.places = Places(places)
        self.held: Counter[str] = Counter()
        self.tasks: list[asyncio.Task[None]] = []

    async def ask(self, owner: str, callers: int, each: int = 1) -> None:
        async def one() -> None:
            await self.places.acquire(each, owner)
            self.held[owner] += each

        self.tasks += [asyncio.create_task(one()) for _ in range(callers)]
        for _ in range(3):
            await asyncio.sleep(0)

    async def end(self, owner: str, each: int = 1) -> None:
        self.held[owner] -= each
        self.places.release(each, owner)
        for _ in range(3):
            await asyncio.sleep(0)

    def leave(self) -> None:
        for task in self.tasks:
            task.cancel()


@pytest.mark.parametrize(("places", "each", "most"), [(16, 4, 12), (16, 1, 12), (16, 3, 12), (4, 1, 3), (8, 4, 4)])
async def test_an_owner_whose_jobs_are_long_leaves_the_next_one_a_place(places: int, each: int, most: int) -> None:
    askers = Askers(places)
    await askers.ask("long", 40, each)
    assert askers.held["long"] == most
    await askers.ask("next", 1, places - most)
    assert askers.held["next"] == places - most, "it waits for nobody"
    # Whoever comes after that is the first to get what becomes free.
    await askers.ask("third", 1)
    await askers.end("long", each)
    assert askers.held["third"] == 1
    askers.leave()


async def test_each_of_many_owners_leaves_some_for_one_more() -> None:
    askers = Askers(16)
    for owner in ("a", "b", "c"):
        await askers.ask(owner, 40)
    assert [askers.held[owner] for owner in ("a", "b", "c")] == [12, 3, 1]
    for _ in range(16):
        for owner in ("a", "b", "c"):
            if askers.held[owner] > 4:
                await askers.end(owner)
    assert 4 <= min(askers.held.values()) <= max(askers.held.values()) <= 6, "they come to hold nearly the same"
    askers.leave()


async def test_where_no_keys_are_asked_for_all_places_are_for_everybody() -> None:
    askers = Askers(16)
    await askers.ask("", 40, 4)
    assert askers.held[""] == 16
    askers.leave()


async def test_an_owner_takes_its_places_up_again() -> None:
    askers = Askers(16)
    await askers.ask("one", 40, 4)
    for _ in range(5):
        await askers.end("one", 4)
        assert askers.held["one"] == 12
    askers.leave()
