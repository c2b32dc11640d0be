"""What engines of jobs do beside making them: deadlines, metrics, retention, nobody starved, nothing begun for ever."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from dbos import DBOS
from prometheus_client import REGISTRY
from sqlalchemy import create_engine, text, update

from gateway.database.connection import engine_url, open_database
from gateway.database.tables import JOBS
from gateway.files.quota import Quota
from gateway.generation.generation import Control, Generation
from gateway.jobs import records as job_records
from gateway.jobs.attempt import MOST_ATTEMPTS
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Filter, Order, Status
from mesh.errors import DeadlineExceeded, InternalError
from tests.rigs.jobs import BOUNDS, DURABLE, ENGINES, PICTURE, Conductor, eventually, running
from tests.rigs.postgres import Server, postgres

WORDS = Generation(prompt="a boat", steps=2)
ASKED = replace(WORDS, image=PICTURE, controls=(Control(kind="canny", image=PICTURE),))

Opened = Callable[..., AbstractAsyncContextManager[JobEngine]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Of records of the test's own."""
    if kind == "postgresql":
        return str(request.getfixturevalue("server").new_database())
    return f"sqlite:///{tmp_path}/records.db"


@pytest.fixture
def opened(kind: str, url: str, tmp_path: Path) -> Opened:
    """Opens engines over the same records."""
    folder = tmp_path / "assets"
    folder.mkdir()
    return lambda conduct, **limits: running(kind, url, folder, conduct, **limits)


@pytest.fixture
def conduct() -> Conductor:
    return Conductor()


@pytest.fixture
async def jobs(opened: Opened, conduct: Conductor) -> AsyncIterator[JobEngine]:
    async with opened(conduct) as engine:
        yield engine


async def test_a_deadline_ends_what_runs_and_what_waits(jobs: JobEngine, conduct: Conductor) -> None:
    first = await jobs.submit(Order(replace(WORDS, prompt="stuck", samples=4), "me", at_once=True, deadline_s=1.0))
    second = await jobs.submit(Order(replace(WORDS, prompt="stuck"), "me", at_once=True, deadline_s=0.5))
    for job in (first, second):
        done = await jobs.wait(job.id, "me", 20)
        assert done.status == Status.FAILED and isinstance(done.error, DeadlineExceeded)
    await conduct.until(lambda: "stuck" in conduct.cancelled)


async def test_the_metrics_tell_how_many_wait_and_for_how_long(jobs: JobEngine, conduct: Conductor) -> None:
    def told(name: str) -> float:
        value = REGISTRY.get_sample_value(name)
        assert value is not None
        return value

    await jobs.submit(Order(replace(WORDS, samples=4), "me", at_once=True))
    await conduct.until(lambda: len(conduct.begun) == 1)
    second = await jobs.submit(Order(WORDS, "me", at_once=True))

    async def waits() -> bool:
        return told("cn_jobs_queued") == 1 and told("cn_jobs_oldest_seconds") > 0

    async def is_done() -> bool:
        return told("cn_jobs_queued") == 0 and told("cn_jobs_oldest_seconds") == 0

    await eventually(waits)
    conduct.go.set()
    await jobs.wait(second.id, "me", 20)
    await eventually(is_done)


async def test_what_was_kept_long_enough_leaves_nothing(
    opened: Opened, conduct: Conductor, kind: str, tmp_path: Path
) -> None:
    conduct.go.set()
    async with opened(conduct, retention_s=0.5) as jobs:
        job = await jobs.submit(Order(ASKED, "me"))
        done = await jobs.wait(job.id, "me", 20)
        assert done.status == Status.SUCCEEDED

        async def is_gone() -> bool:
            return (await jobs.page("me", Filter(), 1)).jobs == ()

        await eventually(is_gone)
        # The record goes last: neither what keeps it going nor the pictures that were sent are there any more.
        left = await asyncio.to_thread(DBOS.list_workflows, workflow_id_prefix=job.id) if kind in DURABLE else []
        files = {path.name for path in (tmp_path / "assets").rglob("*") if path.is_file()}
    assert left == []
    assert files == set(job.assets), "pictures that were made have their own time"


async def test_waiting_callers_do_not_starve_the_queue(opened: Opened, conduct: Conductor) -> None:
    async with opened(conduct, max_pictures=1, max_waiting=50) as jobs:
        first = await jobs.submit(Order(replace(WORDS, prompt="first"), "me", at_once=True))
        await conduct.until(lambda: len(conduct.begun) == 1)
        queued = await jobs.submit(Order(replace(WORDS, prompt="queued"), "me"))

        async def asks_for_the_place() -> bool:
            return (await jobs.get(queued.id, "me")).attempts == 1

        await eventually(asks_for_the_place)
        flood = [await jobs.submit(Order(replace(WORDS, prompt=f"flood {n}"), "me", at_once=True)) for n in range(5)]
        conduct.go.set()
        for job in (first, queued, *flood):
            assert (await jobs.wait(job.id, "me", 60)).status == Status.SUCCEEDED
    assert conduct.begun.index("queued") == 1


@pytest.mark.parametrize("kind", DURABLE)
async def test_a_job_that_takes_its_processes_down_is_given_up(opened: Opened, conduct: Conductor, url: str) -> None:
    with open_database(url) as database:
        # As processes leave it that died with it.
        place = partial(
            job_records.place,
            order=Order(WORDS, "me"),
            inputs=job_records.Inputs(),
            assets=["x.png"],
            bounds=BOUNDS,
            quota=Quota(),
        )
        id = (await database.run(place)).job.id
        begun_often = update(JOBS).where(JOBS.c.id == id).values(attempts=MOST_ATTEMPTS)
        await database.run(lambda connection: connection.execute(begun_often).rowcount)
    conduct.go.set()
    async with opened(conduct) as jobs:
        done = await jobs.wait(id, "me", 30)
    assert done.status == Status.FAILED and isinstance(done.error, InternalError)
    assert conduct.begun == []


async def test_who_waits_is_told_by_the_process_that_works(opened: Opened, conduct: Conductor) -> None:
    async with opened(conduct, look_s=1000.0) as jobs:
        seen = []
        job = await jobs.submit(Order(WORDS, "me", at_once=True))
        waiting = asyncio.create_task(jobs.wait(job.id, "me", 60))
        async for now in jobs.watch(job.id, "me"):
            seen.append((now.status, now.step))
            if now.step == 1:
                conduct.go.set()
        assert (await waiting).status == Status.SUCCEEDED
    assert (Status.RUNNING, 1) in seen and seen[-1] == (Status.SUCCEEDED, 2)


@pytest.mark.parametrize("kind", DURABLE)
async def test_what_a_broken_connection_took_from_the_queue_is_begun(
    opened: Opened, conduct: Conductor, kind: str, url: str
) -> None:
    async with opened(conduct, max_pictures=1, max_waiting=9) as jobs:
        first = await jobs.submit(Order(replace(WORDS, prompt="first"), "me"))
        await conduct.until(lambda: conduct.begun == ["first"])
        second = await jobs.submit(Order(replace(WORDS, prompt="second"), "me"))
        # It was written that this process has it, and then the answer that says so was lost.
        table = "dbos.workflow_status" if kind == "postgresql" else "workflow_status"
        taken = (
            f"UPDATE {table} SET status = 'PENDING', executor_id = :by, owner_xid = 'lost' WHERE workflow_uuid = :id"
        )
        engine = create_engine(engine_url(url) if kind == "postgresql" else f"{url}-workflows")
        with engine.begin() as connection:
            assert connection.execute(text(taken), {"by": jobs.executor, "id": second.id}).rowcount == 1
        engine.dispose()
        conduct.go.set()
        for job in (first, second):
            assert (await jobs.wait(job.id, "me", 60)).status == Status.SUCCEEDED
    assert conduct.begun == ["first", "second"]
