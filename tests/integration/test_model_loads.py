"""Models that are being loaded outlive the gateway that was at it: taken up by another, ended once, told once."""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from controlmesh.v1 import unet_pb2
from gateway.database.connection import Database, open_database
from gateway.generation.catalogue import Offer
from gateway.models import loads
from gateway.models.admin import MOST_ATTEMPTS, ModelAdmin
from gateway.models.loads import Load
from gateway.settings import GatewaySettings
from mesh.errors import Conflict, MeshError
from tests.rigs.jobs import database_url

LOAD = Load(name="mine", source="owner/name", owner="me", dialect="enterprise", webhook="https://hooks.example/")


class Offering:
    """In the place of a catalogue: everything is on offer."""

    def forget(self) -> None:
        pass

    async def offer(self) -> Offer:
        return Offer([unet_pb2.Model(name="mine")], (), (), ())


class Told:
    """What follows from loads' ends."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[tuple[Load, MeshError | None]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def write(self, connection: Any, load: Load, failure: MeshError | None) -> None:
        self._loop.call_soon_threadsafe(self.ends.put_nowait, (load, failure))

    async def next(self) -> tuple[Load, MeshError | None]:
        return await asyncio.wait_for(self.ends.get(), 60)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database_url(request.param, tmp_path_factory.mktemp("loads")) as url, open_database(url) as database:
        yield database


def admin(database: Database, command: str, told: Told, hold_s: float = 60.0) -> ModelAdmin:
    offering: Any = Offering()
    return ModelAdmin(GatewaySettings(export_command=command), offering, database, told.write, hold_s=hold_s)


def test_a_load_is_held_by_one_process_and_ends_once(database: Database) -> None:
    database.run_here(lambda link: loads.begin(link, LOAD, "a", 60.0))
    with pytest.raises(Conflict, match="already being loaded"):
        database.run_here(lambda link: loads.begin(link, Load("mine", "x", "y", "z"), "b", 60.0))
    assert database.run_here(lambda link: loads.take_up(link, "b", 60.0)) == [], "a holds it"
    assert database.run_here(lambda link: loads.hold(link, LOAD.id, "a", 0.0))
    (taken,) = database.run_here(lambda link: loads.take_up(link, "b", 60.0))
    assert (taken.id, taken.attempts, taken.webhook) == (LOAD.id, 2, LOAD.webhook)
    assert database.run_here(lambda link: loads.take_up(link, "c", 60.0)) == []
    assert not database.run_here(lambda link: loads.hold(link, LOAD.id, "a", 60.0))
    assert not database.run_here(lambda link: loads.end(link, LOAD.id, "a")), "it is b's by now"
    assert database.run_here(lambda link: loads.end(link, LOAD.id, "b"))
    assert not database.run_here(lambda link: loads.is_waiting(link, "mine"))


async def test_what_kills_every_process_is_given_up(database: Database) -> None:
    database.run_here(lambda link: loads.begin(link, LOAD, "dead", 0.0))
    for _ in range(MOST_ATTEMPTS - 1):
        database.run_here(lambda link: loads.take_up(link, "dead", 0.0))
    told = Told()
    last = admin(database, "false", told)
    last.open()
    load, failure = await told.next()
    assert load.attempts == MOST_ATTEMPTS + 1 and failure is not None and "given up" in failure.message
    await last.close()


async def test_a_command_that_outlived_its_gateway_is_waited_for(database: Database, tmp_path: Path) -> None:
    database.run_here(lambda link: loads.begin(link, LOAD, "dead", 0.0))
    # Busy at first, as the exporter is while another one is at the same model.
    script = tmp_path / "busy"
    script.write_text('if [ -e "$0.done" ]; then exit 0; fi; touch "$0.done"; exit 7\n')
    told = Told()
    second = admin(database, shlex.join(["sh", str(script)]), told)
    second.open()
    assert (await told.next())[1] is None
    await second.close()


GATEWAY = """
import asyncio, sys
from gateway.database.connection import open_database
from gateway.models.loads import Load
from gateway.models.admin import ModelAdmin
from gateway.settings import GatewaySettings

async def main(database):
    admin = ModelAdmin(GatewaySettings(export_command=sys.argv[2]), None, database, hold_s=1.0)
    admin.open()
    await admin.load(Load("mine", "owner/name", "me", "enterprise", webhook="https://hooks.example/"))
    await asyncio.Event().wait()

with open_database(sys.argv[1]) as database:
    asyncio.run(main(database))
"""


async def test_a_gateway_that_is_killed_in_an_export_leaves_it_to_the_next(tmp_path: Path) -> None:
    url, pids, script = f"sqlite:///{tmp_path}/records.db", tmp_path / "pids", tmp_path / "export"
    script.write_text(f"echo $$ >> {pids}; exec tail -f /dev/null\n")
    line = [sys.executable, "-c", GATEWAY, url, shlex.join(["sh", str(script)])]
    killed = await asyncio.create_subprocess_exec(*line)
    try:
        async with asyncio.timeout(60):
            # The command has no other word for it than its file.
            while not pids.exists() or not pids.read_text().strip():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        with open_database(url) as database:
            assert database.run_here(lambda link: loads.is_waiting(link, "mine"))
    finally:
        killed.kill()
        await killed.wait()
    with suppress(ProcessLookupError):
        os.kill(int(pids.read_text()), signal.SIGKILL)
    with open_database(url) as database:
        told = Told()
        processes = [admin(database, "true", told, hold_s=1.0) for _ in range(2)]
        for process in processes:
            process.open()
        load, failure = await told.next()
        assert (load.owner, load.webhook, load.attempts, failure) == ("me", "https://hooks.example/", 2, None)
        for process in processes:
            await process.close()
        assert told.ends.empty() and not database.run_here(lambda link: loads.is_waiting(link, "mine"))


async def test_who_leaves_in_order_hands_over_at_once(database: Database, tmp_path: Path) -> None:
    told = Told()
    first = admin(database, shlex.join(["sh", "-c", "exec tail -f /dev/null"]), told)
    await first.load(LOAD)
    await first.close()
    second = admin(database, "true", told)
    second.open()
    load, failure = await told.next()
    assert (load.attempts, failure) == (2, None)
    await second.close()
    assert told.ends.empty()
