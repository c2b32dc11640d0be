"""Whose turn it is: owners share the places evenly, whatever they send, how often, how early and how urgently."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.generation.generation import Generation, Task
from gateway.generation.pipeline import Outcome, Picture, Progress
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Job, Order
from gateway.jobs.places import cost
from mesh.errors import MeshError, TooOften
from tests.rigs.jobs import PICTURE, eventually, running

BOAT = Generation(prompt="a boat", steps=20, seed=1)


class OneByOne:
    """Ends a job each time that it is told; remembers whose began. The prompt is the owner."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._go = asyncio.Semaphore(0)
        self._news = asyncio.Condition()

    async def __call__(
        self, generation: Generation, progress: Progress, task: Task = Task.PICTURES, owner: str = ""
    ) -> Outcome:
        self.begun.append(generation.prompt)
        async with self._news:
            self._news.notify_all()
        await self._go.acquire()
        pictures = tuple(Picture(PICTURE, seed, 1, 1) for seed in generation.seeds())
        return Outcome(pictures, (), "", "")

    async def go_on(self) -> str:
        """End one job; whose began then."""
        count = len(self.begun)
        self._go.release()
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: len(self.begun) > count)
        return self.begun[count]


@asynccontextmanager
async def opened(folder: Path, conduct: OneByOne, kind: str = "process", **limits: Any) -> AsyncIterator[JobEngine]:
    limits = {"max_pictures": 4, "max_waiting": 64, "owner_share": 1.0} | limits
    url = f"sqlite:///{folder}/records.db"
    async with running(kind, url, folder, conduct, **limits) as jobs:
        yield jobs


async def send(jobs: JobEngine, owner: str, count: int = 1, **order: Any) -> list[Job]:
    # Each takes all places.
    asked = Generation(prompt=owner, seed=1, samples=4, steps=order.pop("steps", 20))
    return [await jobs.submit(Order(asked, owner, **order)) for _ in range(count)]


async def waiting(jobs: JobEngine, count: int) -> None:
    """Wait until so many jobs of this process wait for places, or in its queue."""

    async def do() -> bool:
        return (await jobs.load())[1] == count

    await eventually(do)


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("process", False, False),
        ("process", False, True),
        ("process", True, False),
        ("process", True, True),
        ("sqlite", True, False),
    ],
)
async def test_two_take_turns_whether_somebody_waits_or_not(
    tmp_path: Path, kind: str, first: bool, second: bool
) -> None:
    conduct = OneByOne()
    async with opened(tmp_path, conduct, kind) as jobs:
        await send(jobs, "flood", 20, at_once=first)
        await waiting(jobs, 19)
        others = await send(jobs, "other", 4, at_once=second)

        async def ask_for_places() -> bool:
            return all([(await jobs.get(job.id, "other")).attempts == 1 for job in others])

        await eventually(ask_for_places)
        order = [await conduct.go_on() for _ in range(8)]
        assert order.index("other") <= 1
        assert order.count("other") == 4, order


async def test_who_asks_one_by_one_and_urgently_gets_no_more_than_a_share(tmp_path: Path) -> None:
    conduct = OneByOne()
    async with opened(tmp_path, conduct) as jobs:
        await send(jobs, "flood", 20)
        await waiting(jobs, 19)
        for number in range(16):
            # One runs or waits at any time, as urgent as can be, and some are cancelled when they have begun.
            (job,) = await send(jobs, "sly", at_once=True, priority=9)
            await conduct.go_on()
            if number % 3 == 0:
                await jobs.cancel(job.id, "sly")
        order = conduct.begun[1:]
        assert order.count("flood") >= len(order) / 2 - 1, order


async def test_cancelling_and_asking_again_wins_nothing(tmp_path: Path) -> None:
    conduct = OneByOne()
    async with opened(tmp_path, conduct) as jobs:
        await send(jobs, "patient", 10)
        await waiting(jobs, 9)
        order = []
        for _ in range(10):
            for _ in range(3):
                await send(jobs, "restless", 5)
                await jobs.clear("restless")
            await send(jobs, "restless", 5)
            order.append(await conduct.go_on())
            await jobs.clear("restless")
        assert order.count("patient") >= 5, order


async def test_work_counts_and_not_the_number_of_jobs(tmp_path: Path) -> None:
    conduct = OneByOne()
    async with opened(tmp_path, conduct) as jobs:
        await send(jobs, "large", 8, steps=40)
        await conduct.go_on()
        await send(jobs, "small", 16)
        await waiting(jobs, 22)
        order = Counter([await conduct.go_on() for _ in range(12)])
        assert order["small"] >= 7, "each of them is half the work"


async def test_among_its_own_an_owner_s_urgent_job_goes_first_and_takes_nobody_s_turn(tmp_path: Path) -> None:
    conduct = OneByOne()
    async with opened(tmp_path, conduct) as jobs:
        await send(jobs, "mine")
        await conduct_begun(conduct, 1)
        await send(jobs, "mine", priority=1)
        await send(jobs, "yours")
        await waiting(jobs, 2)
        (urgent,) = await send(jobs, "mine", priority=9, at_once=True)

        async def asks() -> bool:
            return (await jobs.get(urgent.id, "mine")).attempts == 1

        await eventually(asks)
        assert await conduct.go_on() == "yours"
        assert await conduct.go_on() == "mine"
        assert (await jobs.get(urgent.id, "mine")).status == "running"


async def conduct_begun(conduct: OneByOne, count: int) -> None:
    async def has() -> bool:
        return len(conduct.begun) == count

    await eventually(has)


async def test_an_owner_leaves_as_many_places_as_it_has(tmp_path: Path) -> None:
    async def taken(jobs: JobEngine, owner: str) -> int:
        answers = await asyncio.gather(*(send(jobs, owner) for _ in range(30)), return_exceptions=True)
        assert all(isinstance(answer, list | TooOften | MeshError) for answer in answers)
        return sum(isinstance(answer, list) for answer in answers)

    conduct = OneByOne()
    async with opened(tmp_path, conduct, max_waiting=24) as jobs:
        await send(jobs, "running")
        await conduct_begun(conduct, 1)
        assert [await taken(jobs, owner) for owner in ("one", "two", "three", "four")] == [12, 6, 3, 2]


def test_the_cost_of_a_job() -> None:
    assert cost(BOAT, Task.PICTURES) == 1
    assert cost(Generation(prompt="", steps=50, samples=4), Task.PICTURES) == 12
    assert cost(Generation(prompt="", steps=20, width=1024, height=1024), Task.PICTURES) == 4
    assert cost(Generation(prompt="", steps=1, samples=4, width=64, height=64), Task.PICTURES) == 4
