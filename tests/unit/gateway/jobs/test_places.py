"""Places are given in the order of asking, and none is lost."""

import asyncio

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
