import asyncio

import pytest

from mesh.admission import Admission
from mesh.errors import Overloaded


async def test_so_many_run_so_many_wait_the_next_is_refused() -> None:
    admission = Admission(running=2, waiting=1, what="loops")
    release = asyncio.Event()
    at_work: list[int] = []

    async def work(number: int) -> None:
        async with admission:
            at_work.append(number)
            await release.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert at_work == [0, 1]
    assert admission.inside == 3
    with pytest.raises(Overloaded, match="3 loops"):
        await work(9)
    release.set()
    await asyncio.gather(*tasks)
    assert at_work == [0, 1, 2]
    assert admission.inside == 0


async def test_a_cancelled_waiter_gives_its_place_back() -> None:
    admission = Admission(running=1, waiting=1, what="loops")
    async with admission:
        waiter = asyncio.create_task(admission.__aenter__())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert admission.inside == 1
    async with admission:
        assert admission.inside == 1
