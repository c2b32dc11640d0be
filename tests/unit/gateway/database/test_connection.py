"""The gateway's database at its end: what was begun is done, and nothing is begun any more."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.database.connection import Database, RecordsAway, open_database


async def test_work_whose_asker_left_is_done_before_the_folder_goes() -> None:
    begun, go = threading.Event(), threading.Event()
    found = []

    def work(connection: Connection) -> None:
        begun.set()
        assert go.wait(30)
        connection.exec_driver_sql("CREATE TABLE late (id INTEGER)")
        found.append(connection.exec_driver_sql("SELECT count(*) FROM late").scalar_one())

    with open_database("") as database:
        asking = asyncio.create_task(database.run(work))
        assert await asyncio.to_thread(begun.wait, 30)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        # Before the end waits, and blocks this loop.
        threading.Timer(0.05, go.set).start()
    assert found == [0]


async def test_nothing_is_asked_of_one_that_is_closed() -> None:
    with open_database("") as database:
        pass
    with pytest.raises(RecordsAway, match="shutting down"):
        await database.run(lambda connection: None)


def _pragma(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())


def _schema(connection: Connection) -> list[str]:
    found = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
    version = connection.exec_driver_sql("SELECT version_num FROM cn_schema").scalar_one()
    return [*found.scalars(), version]


async def test_only_what_outlives_the_process_is_written_through_to_the_disk(tmp_path: Path) -> None:
    with open_database("") as passing, open_database(f"sqlite:///{tmp_path}/records.db") as kept:
        assert (passing.durable, await passing.run(_pragma)) == (False, 0)
        assert (kept.durable, await kept.run(_pragma)) == (True, 2)
        assert await passing.run(_schema) == await kept.run(_schema)


async def test_a_passing_database_begins_empty_and_is_nobody_else_s() -> None:
    with open_database("") as one, open_database("") as other:
        await one.run(lambda connection: connection.exec_driver_sql("CREATE TABLE own (id INTEGER)").rowcount)
        assert "CREATE TABLE own (id INTEGER)" not in await other.run(_schema)


class HangingEngine:
    """Stands where SQLAlchemy's engine would: no transaction begins before `go`."""

    def __init__(self) -> None:
        self.dialect = sqlite.dialect()
        self.go = threading.Event()
        self.begun = 0

    def begin(self) -> Any:
        self.begun += 1
        assert self.go.wait(30)
        raise PoolTimeout

    def dispose(self) -> None:
        """Nothing is open."""


async def test_a_database_that_hangs_is_away_and_holds_one_thread() -> None:
    engine: Any = HangingEngine()
    database = Database(engine, durable=True)
    answers = await asyncio.gather(*(database.probe() for _ in range(50)), return_exceptions=True)
    assert all(isinstance(answer, RecordsAway) for answer in answers)
    assert engine.begun == 1
    engine.go.set()
    with pytest.raises(RecordsAway):
        await database.probe()
    database.close()
