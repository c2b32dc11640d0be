"""Processes that run jobs are killed, stopped and woken: every accepted job ends once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from gateway.database.connection import open_database
from gateway.files.quota import Quota
from gateway.generation.generation import Generation
from gateway.jobs import records as job_records
from gateway.jobs.job import Order
from tests.rigs.job_processes import Worker, worker
from tests.rigs.jobs import BOUNDS
from tests.rigs.postgres import Server, postgres

Start = Callable[..., AbstractAsyncContextManager[Worker]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the test's own."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("server").new_database())
    return f"sqlite:///{tmp_path}/records.db"


@pytest.fixture
def start(url: str, tmp_path: Path) -> Start:
    """Starts processes over the same records."""
    folder = tmp_path / "assets"
    folder.mkdir()
    return partial(worker, url, folder)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_process_dies_while_it_works(start: Start, at_once: bool) -> None:
    async with start("sticks") as first:
        id = await first.submit("a boat", at_once=at_once)
        await first.hear("begun")
        async with start("finishes") as second:
            assert second.count("begun") == 0
            await first.kill()
            done = await second.outcome(id)
    assert (done["status"], done["attempts"], done["pictures"]) == ("succeeded", 2, 1)
    assert (first.count("ending"), second.count("ending")) == (0, 1)


async def test_a_process_dies_right_after_it_accepted(start: Start) -> None:
    async with start("sticks") as first, start("finishes", 1) as second:
        ids = [await first.submit(f"boat {number}", at_once=number % 2 == 0) for number in range(4)]
        await first.kill()
        outcomes = [await second.outcome(id) for id in ids]
    assert [done["status"] for done in outcomes] == ["succeeded"] * 4
    assert second.count("ending") == 4


async def test_all_processes_die_and_the_next_one_goes_on(start: Start) -> None:
    async with start("sticks") as first:
        ids = [await first.submit(f"boat {number}") for number in range(3)]
        await first.hear("begun", times=3)
        await first.kill()
    async with start("finishes") as second:
        assert [(await second.outcome(id))["status"] for id in ids] == ["succeeded"] * 3
    assert second.count("ending") == 3


async def test_a_record_without_anybody_who_cares_is_begun(start: Start, url: str) -> None:
    # What a process leaves that dies between writing the record and starting the work.
    with open_database(url) as database:
        order = Order(Generation(prompt="left alone", steps=4), "me")
        place = partial(
            job_records.place,
            order=order,
            inputs=job_records.Inputs(),
            assets=["0" * 32 + ".png"],
            bounds=BOUNDS,
            quota=Quota(),
        )
        id = (await database.run(place)).job.id
    async with start("finishes") as only:
        done = await only.outcome(id)
    assert (done["status"], done["attempts"]) == ("succeeded", 1)


async def test_a_process_dies_between_the_pictures_and_the_record(start: Start) -> None:
    async with start("holds") as first, start("finishes") as second:
        id = await first.submit("a boat", at_once=True)
        await first.hear("ending", id)
        await first.kill()
        done = await second.outcome(id)
    # Nothing was made again: what was made is known.
    assert (done["status"], done["attempts"], done["pictures"]) == ("succeeded", 1, 1)
    assert (first.count("begun"), second.count("begun")) == (1, 0)
    assert second.count("ending") == 1


@pytest.mark.parametrize("when", ["done by another", "being done by another"])
async def test_a_process_that_was_taken_for_dead_wakes_up(start: Start, when: str) -> None:
    async with start("sticks") as first, start("sticks") as second:
        id = await first.submit("a boat", at_once=True)
        await first.hear("begun")
        await first.freeze()
        await second.hear("begun")
        if when == "done by another":
            second.tell(go=True)
            assert (await second.outcome(id))["status"] == "succeeded"
            # It finishes what it had begun, as if nothing had been.
            first.tell(go=True)
            first.thaw()
            await first.hear("going")
        else:
            first.thaw()
            await first.hear("stopped")
            second.tell(go=True)
        done = await second.outcome(id)
        assert (done["status"], done["attempts"]) == ("succeeded", 2)
        assert await first.outcome(id) == done
        # Both go on working.
        for process in (first, second):
            process.tell(go=True)
            after = await process.submit("another")
            assert (await process.outcome(after))["status"] == "succeeded"
    assert first.count("ending", id) + second.count("ending", id) == 1


async def test_cancelling_from_another_process(start: Start) -> None:
    async with start("sticks") as first, start("sticks") as second:
        running = await first.submit("running", at_once=True)
        await first.hear("begun")
        second.tell(cancel=running)
        assert (await second.hear("cancelled"))["cancelled"] == "cancelled"
        await first.hear("stopped", "running")
        assert (await first.outcome(running))["status"] == "cancelled"
    assert first.count("ending") + second.count("ending") == 1


async def test_two_processes_share_a_queue(start: Start) -> None:
    async with start("sticks", 1) as first, start("sticks", 1) as second:
        ids = [await first.submit(f"boat {number}") for number in range(2)]
        # One place each: neither takes both.
        await first.hear("begun")
        await second.hear("begun")
        for process in (first, second):
            process.tell(go=True)
        for id in ids:
            assert (await second.outcome(id))["status"] == "succeeded"
    assert first.count("ending") == second.count("ending") == 1
