"""What other processes do to jobs is seen by one look for all who wait, and wakes those alone whom it concerns."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import delete, event, update

from gateway.database.connection import Database, open_database
from gateway.database.tables import JOBS
from gateway.files.quota import Quota
from gateway.generation.generation import Generation
from gateway.jobs import records as job_records
from gateway.jobs.changes import Changes
from gateway.jobs.job import Order
from tests.rigs.jobs import BOUNDS


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path}/records.db") as database:
        yield database


async def placed(database: Database) -> str:
    order = Order(Generation(prompt="a boat", steps=4), "me")
    place = partial(
        job_records.place,
        order=order,
        inputs=job_records.Inputs(),
        assets=["0" * 32 + ".png"],
        bounds=replace(BOUNDS, max_waiting=99),
        quota=Quota(),
    )
    return (await database.run(place)).job.id


async def change(database: Database, id: str) -> None:
    changed = update(JOBS).where(JOBS.c.id == id).values(step=JOBS.c.step + 1)
    await database.run(lambda connection: connection.execute(changed).rowcount)


async def test_a_look_wakes_whom_it_concerns(database: Database) -> None:
    changes = Changes(database, lambda id: False)
    ids = [await placed(database) for _ in range(3)]
    waiting = [changes.of(id) for id in ids]
    await changes.look()
    assert all(event.is_set() for event in waiting), "each may have changed before the first look"
    waiting = [changes.of(id) for id in ids]
    await changes.look()
    assert not any(event.is_set() for event in waiting)
    await change(database, ids[1])
    await changes.look()
    assert [event.is_set() for event in waiting] == [False, True, False]


async def test_a_record_that_is_gone_is_news(database: Database) -> None:
    changes = Changes(database, lambda id: False)
    id = await placed(database)
    changes.of(id)
    await changes.look()
    waiting = changes.of(id)
    await database.run(lambda connection: connection.execute(delete(JOBS)).rowcount)
    await changes.look()
    assert waiting.is_set()


async def test_a_look_is_one_question_for_those_that_are_not_known_here(database: Database) -> None:
    own, *others = [await placed(database) for _ in range(5)]
    changes = Changes(database, lambda id: id == own)
    waiting = [changes.of(id) for id in (own, *others)]
    asked = []
    event.listen(database.engine, "after_cursor_execute", lambda *told: asked.append(told[2]))
    await changes.look()
    assert len([statement for statement in asked if statement.startswith("SELECT")]) == 1
    assert [event.is_set() for event in waiting] == [False, True, True, True, True]
    del waiting
    asked.clear()
    await changes.look()
    assert asked == [], "nobody waits"


async def test_who_is_woken_here_needs_no_look(database: Database) -> None:
    changes = Changes(database, lambda id: True)
    waiting = changes.of("a job")
    assert changes.of("a job") is waiting
    changes.wake("a job")
    async with asyncio.timeout(30):
        await waiting.wait()
    assert changes.of("a job") is not waiting
