"""The snapshot of keys follows the table."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import event, update

from gateway.database.connection import Database, open_database
from gateway.database.tables import KEYS
from gateway.keys import records as key_records
from gateway.keys.keys import Keys
from gateway.keys.records import NewKey
from gateway.keys.watch import REFRESH_S, KeyWatch, open_keys
from gateway.settings import GatewaySettings
from mesh.errors import Unauthenticated, Unavailable
from mesh.settings import SettingsError


class Clock:
    """Time that passes when the test says so, one look of the watch after another."""

    def __init__(self) -> None:
        self.now = 0.0
        self._go = asyncio.Semaphore(0)
        self._waits = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        self._waits.set()
        await self._go.acquire()
        self.now += seconds

    async def look(self) -> None:
        """Let the watch look once, to its end."""
        await self._waits.wait()
        self._waits.clear()
        self._go.release()
        await self._waits.wait()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path}/records.db") as database:
        yield database


@asynccontextmanager
async def watching(database: Database) -> AsyncIterator[tuple[Keys, Clock]]:
    keys, clock = Keys(), Clock()
    watch = KeyWatch(database, keys, clock.pause, lambda: clock.now)
    await watch.refresh()
    task = asyncio.create_task(watch.run())
    try:
        yield keys, clock
    finally:
        task.cancel()
        await watch.close()


def make(database: Database, owner: str = "acme") -> tuple[str, str]:
    record, key = database.run_here(lambda connection: key_records.create(connection, NewKey("x", owner)))
    return record.holder.key_id, key


def refused(keys: Keys, key: str) -> bool:
    try:
        keys.holder(key)
    except Unauthenticated:
        return True
    return False


async def test_a_new_key_works_and_a_revoked_one_stops_with_the_next_look(database: Database) -> None:
    assert REFRESH_S < 2
    async with watching(database) as (keys, clock):
        assert not keys.asked_for
        id, key = make(database)
        await clock.look()
        assert keys.owner(key) == "acme" and keys.asked_for and refused(keys, "another")
        database.run_here(lambda connection: key_records.revoke(connection, id))
        await clock.look()
        assert refused(keys, key) and keys.asked_for


async def test_wrong_keys_are_not_looked_for_and_rows_are_read_after_changes_alone(database: Database) -> None:
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    async with watching(database) as (keys, clock):
        make(database)
        await clock.look()
        asked.clear()
        for number in range(50):
            assert refused(keys, f"{number:040}")
        assert not asked
        await clock.look()
        assert sum("digest" in statement for statement in asked) == 0 and len(asked) < 4
        make(database)
        await clock.look()
        assert sum("digest" in statement and statement.startswith("SELECT") for statement in asked) == 2, (
            "one by the making itself, one by the watch"
        )


async def test_the_last_use_is_written_now_and_then_and_at_the_end(database: Database) -> None:
    def last_used() -> object:
        return database.run_here(key_records.listed)[0].last_used_at

    _, key = make(database)
    async with watching(database) as (keys, clock):
        keys.holder(key)
        await clock.look()
        assert last_used() is None
        clock.now += 60
        await clock.look()
        assert last_used() is not None
        database.run_here(lambda connection: connection.execute(update(KEYS).values(last_used_at=None)))
        clock.now += 60
        await clock.look()
        assert last_used() is None, "it was not used again"
        keys.holder(key)
    assert last_used() is not None


async def test_while_the_database_is_away_the_last_snapshot_stands(database: Database) -> None:
    _, key = make(database)
    down = False

    def fail(*_: object) -> None:
        if down:
            raise Unavailable("away")

    event.listen(database.engine, "before_cursor_execute", fail)
    async with watching(database) as (keys, clock):
        down = True
        await clock.look()
        await clock.look()
        assert keys.owner(key) == "acme"
        down = False
        _, new = make(database)
        await clock.look()
        assert keys.owner(new) == "acme"


@pytest.mark.parametrize("name", ["address", "grpc_address", "public_address"])
async def test_beyond_loopback_one_valid_key_is_needed(database: Database, name: str) -> None:
    settings = GatewaySettings(database_url="sqlite:////given", **{name: "0.0.0.0:80"})
    with pytest.raises(SettingsError, match=f"CN_GATEWAY_{name.upper()}=0.0.0.0:80 .*keys create"):
        async with open_keys(settings, database):
            pass
    id, _ = make(database)
    async with open_keys(settings, database) as keys:
        assert keys.asked_for
    database.run_here(lambda connection: key_records.revoke(connection, id))
    with pytest.raises(SettingsError):
        async with open_keys(settings, database):
            pass
    async with open_keys(GatewaySettings(api_keys=("k",), **{name: "0.0.0.0:80"}), database) as keys:
        assert keys.owner("k")
