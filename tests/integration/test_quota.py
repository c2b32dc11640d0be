"""An owner's share of the store: nothing passes it, others don't feel it, and what is deleted is given back."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from gateway.files.quota import Quota, usage
from gateway.files.stores import Files, S3Access
from gateway.files.uploads import Upload
from gateway.generation.generation import Generation
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Order, Status
from gateway.jobs.results import of_job
from gateway.workflows.tasks import TaskWorkflows
from mesh.errors import InvalidInput, MeshError, TooOften, Unavailable
from tests.rigs.assets import Place, Shelf, opened, picture
from tests.rigs.jobs import BOUNDS, PICTURE, Conductor, eventually
from tests.rigs.postgres import Server, postgres

SIZE = len(picture(1))
ALIKE = [content for content in map(picture, range(256)) if len(content) == SIZE]
"""Different pictures of one size."""
ROOM = Quota(bytes=3 * SIZE + SIZE // 2, files=100)
HERE = "https://pictures.example.org"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as running:
        yield running


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    url = f"sqlite:///{tmp_path}/records.db"
    if getattr(request, "param", "") == "postgresql":
        url = request.getfixturevalue("server").new_database()
    return Place((tmp_path / "files").as_uri(), url, S3Access())


on_both = pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)


async def keep(shelf: Shelf, level: int, owner: str = "ann", **more: Any) -> str:
    return (await shelf.assets.keep(ALIKE[level], owner, source="uploaded", **more)).id


async def used(shelf: Shelf, owner: str = "ann") -> int:
    return (await shelf.database.run(partial(usage, owner=owner))).bytes


def refused(limit: str) -> float:
    return REGISTRY.get_sample_value("cn_files_refused_total", {"limit": limit}) or 0.0


@asynccontextmanager
async def engine(shelf: Shelf, conduct: Conductor) -> AsyncIterator[JobEngine]:
    outbox = partial(of_job, retention_s=3600.0)
    quota = shelf.assets.quota
    jobs = JobEngine(shelf.database, TaskWorkflows(4), conduct, shelf.assets, BOUNDS, quota=quota, outbox=outbox)
    await jobs.open()
    try:
        yield jobs
    finally:
        await jobs.close()


async def is_running(jobs: JobEngine, id: str) -> bool:
    return (await jobs.get(id, "ann")).status == Status.RUNNING


async def begin(shelf: Shelf, size: int, parts: int = 1, owner: str = "ann") -> Upload:
    return await shelf.uploads.begin(
        HERE, owner, kind="image", file_name="a.png", size=size, content_type="image/png", parts=parts
    )


async def send(shelf: Shelf, upload: Upload, number: int, content: bytes) -> None:
    expires, signature = upload.parts[number - 1].url.partition("?expires=")[2].split("&signature=")
    await shelf.uploads.put_part(upload.id, number, content, expires, signature)


async def test_what_does_not_fit_is_not_kept_and_what_goes_gives_room(place: Place) -> None:
    async with opened(place, quota=ROOM) as shelf:
        ids = [await keep(shelf, level) for level in range(3)]
        paths, before = await shelf.paths(), refused("owner_bytes")
        with pytest.raises(TooOften, match=f"{3 * SIZE} of {ROOM.bytes} bytes"):
            await keep(shelf, 3)
        assert (await shelf.paths(), refused("owner_bytes") - before) == (paths, 1)
        # What is there already costs nothing, and others have their own room.
        assert await keep(shelf, 2) == ids[2]
        await keep(shelf, 3, owner="bob")
        assert await shelf.assets.drop(ids[:1], "ann") == 1
        await keep(shelf, 3, expires_s=-1.0)
        with pytest.raises(TooOften):
            await keep(shelf, 4)
        assert await shelf.assets.sweep()
        await keep(shelf, 4)


async def test_files_are_counted_too(place: Place) -> None:
    async with opened(place, quota=Quota(files=2)) as shelf:
        for level in range(2):
            await keep(shelf, level)
        with pytest.raises(TooOften, match="2 files"):
            await keep(shelf, 2)


@on_both
async def test_who_stores_at_once_does_not_pass_it_either(place: Place) -> None:
    async with opened(place, quota=ROOM) as one, opened(place, quota=ROOM) as two:
        asked = [keep(shelf, level) for level in range(10) for shelf in (one, two)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        kept = {answer for answer in answers if isinstance(answer, str)}
        assert len(kept) == 3 and all(isinstance(answer, str | TooOften) for answer in answers)
        assert await used(one) == 3 * SIZE
        assert len(await one.paths()) == 3


@on_both
async def test_uploads_count_from_their_beginning_and_once(place: Place) -> None:
    async with opened(place, quota=ROOM) as shelf:
        upload = await begin(shelf, SIZE, parts=2)
        await keep(shelf, 1)
        await keep(shelf, 2)
        with pytest.raises(TooOften):
            await begin(shelf, SIZE)
        with pytest.raises(TooOften):
            await keep(shelf, 3)
        content = ALIKE[0]
        await send(shelf, upload, 1, content[:9])
        await send(shelf, upload, 2, content[9:])
        done = await shelf.uploads.complete(HERE, upload.id, "ann")
        assert done.status == "imported"
        assert await used(shelf) == 3 * SIZE


@on_both
async def test_parts_larger_than_the_whole_count_in_full(place: Place) -> None:
    async with opened(place, quota=ROOM) as shelf:
        upload = await begin(shelf, SIZE, parts=9)
        sent = await asyncio.gather(
            *(send(shelf, upload, number, ALIKE[number]) for number in range(1, 10)), return_exceptions=True
        )
        assert sum(one is None for one in sent) == 3
        assert len(await shelf.paths()) == 3
        await asyncio.gather(*(send(shelf, upload, 1, ALIKE[0]) for _ in range(2)), return_exceptions=True)
        assert await used(shelf) <= ROOM.bytes


async def test_an_accepted_job_keeps_its_pictures_and_the_next_is_refused(place: Place) -> None:
    conduct = Conductor()
    async with opened(place, quota=Quota(bytes=2 * len(PICTURE), files=100)) as shelf, engine(shelf, conduct) as jobs:
        job = await jobs.submit(Order(Generation(prompt="x", samples=4, image=PICTURE, seed=1), "ann"))
        assert await used(shelf) == len(PICTURE), "the picture that was sent"
        with pytest.raises(TooOften):
            await jobs.submit(Order(Generation(prompt="x", image=2 * PICTURE), "ann"))
        assert len(await shelf.paths()) == 1, "nothing is left of a refused job"
        conduct.go.set()
        done = await jobs.wait(job.id, "ann", 30)
        assert done.status == Status.SUCCEEDED and len(done.pictures) == 4
        with pytest.raises(TooOften, match="bytes"):
            await jobs.submit(Order(Generation(prompt="x", seed=1), "ann"))
        assert await used(shelf) == 4 * len(PICTURE)

        async def is_left_alone() -> bool:
            return await shelf.paths() == sorted(done.assets)

        # The picture that was sent is not kept beyond the job.
        await eventually(is_left_alone)
        assert (await jobs.submit(Order(Generation(prompt="x", seed=1), "bob"))).id
        await shelf.assets.drop(done.assets, "ann")
        assert (await jobs.submit(Order(Generation(prompt="x", seed=1), "ann"))).id


async def test_results_of_a_job_that_is_cancelled_at_its_end_are_not_left(place: Place) -> None:
    conduct = Conductor()
    conduct.go.set()
    async with opened(place) as shelf, engine(shelf, conduct) as jobs:
        job = await jobs.submit(Order(Generation(prompt="x", seed=1), "ann"))
        done = await jobs.wait(job.id, "ann", 30)
        late = await jobs.submit(Order(Generation(prompt="stuck", seed=1), "ann"))
        await conduct.until(lambda: "stuck" in conduct.begun)
        await jobs.cancel(late.id, "ann")
        # As when its pictures had been stored, and its end had not been written yet.
        await shelf.assets.put(late.assets[0], PICTURE, "ann")
        await jobs.work.settle(late.id, {"pictures": []})
        assert await shelf.paths() == list(done.assets)
        # Who has succeeded keeps its pictures, however often its end is told.
        await jobs.work.settle(job.id, {"pictures": []})
        assert await shelf.paths() == list(done.assets)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_job_that_waits_in_vain_leaves_no_picture(place: Place, at_once: bool) -> None:
    conduct = Conductor()
    asked = Generation(prompt="stuck", image=PICTURE, seed=1)
    async with opened(place) as shelf, engine(shelf, conduct) as jobs:
        full = [await jobs.submit(Order(replace(asked, samples=4), "ann", at_once=at_once))]
        await conduct.until(lambda: len(conduct.begun) == 1)
        await eventually(partial(is_running, jobs, full[0].id))
        full += [await jobs.submit(Order(asked, "ann", at_once=at_once)) for _ in range(BOUNDS.max_waiting)]
        paths = await shelf.paths()
        with pytest.raises(MeshError):
            await jobs.submit(Order(asked, "ann", at_once=at_once))
        with pytest.raises(InvalidInput):
            await jobs.submit(Order(replace(asked, image=b"no picture"), "bob", at_once=at_once))
        assert await shelf.paths() == paths
        for job in full:
            await jobs.cancel(job.id, "ann")
        assert await shelf.paths() == []


async def test_nothing_is_taken_when_the_disk_is_nearly_full(tmp_path: Path, place: Place) -> None:
    free = [50]

    def disk_usage(path: Path) -> tuple[int, int, int]:
        return 1000, 1000 - free[0], free[0]

    async with opened(place) as shelf:
        files = shelf.assets.files = Files(shelf.assets.files.store, 200, disk_usage)
        with pytest.raises(Unavailable, match="nearly full") as error:
            await keep(shelf, 1)
        assert error.value.retry_after_s and await shelf.paths() == []
        with pytest.raises(Unavailable):
            await begin(shelf, SIZE)
        async with engine(shelf, Conductor()) as jobs:
            with pytest.raises(Unavailable):
                await jobs.submit(Order(Generation(prompt="x"), "ann"))
        # Results of what was accepted still have the rest.
        await shelf.assets.put(shelf.assets.new_name("png"), PICTURE, "ann")
        assert REGISTRY.get_sample_value("cn_files_free_bytes") == 50
        # A tenth of the disk at most: a small one is not full from the start.
        free[0] = 101
        assert await Files(files.store, 200, disk_usage).check_room() is None
