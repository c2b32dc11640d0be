"""The gateway's database at its end: what was begun is done, and nothing is begun any more."""

import asyncio
import threading
from contextlib import suppress

import pytest
from sqlalchemy import Connection

from gateway.database.connection import RecordsAway, open_database


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
