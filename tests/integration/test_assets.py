"""Files and their records: the same cases in a folder and in a bucket, in SQLite and in PostgreSQL."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import aiohttp
import psycopg
import pytest
from obstore.store import LocalStore
from sqlalchemy import text
from structlog.testing import capture_logs

from gateway.database.connection import open_database
from gateway.database.secrets import shared_key
from gateway.files.assets import Assets
from gateway.files.records import AssetRecord
from gateway.files.stores import UNFINISHED_S, S3Access
from gateway.generation.generation import Generation
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Job, Order, Status, StoredPicture
from gateway.jobs.results import of_job
from gateway.workflows.tasks import TaskWorkflows
from mesh.errors import Forbidden, InvalidInput, NotFound, Unavailable
from tests.rigs.assets import ACCESS_KEY, SECRET_KEY, Place, S3Server, Shelf, opened, picture, s3_server
from tests.rigs.jobs import BOUNDS, Conductor
from tests.rigs.postgres import Server, postgres

PLACES = ("folder-sqlite", "bucket-sqlite", "folder-postgresql")
HOSTILE = (
    "",
    "../../etc/passwd",
    "kept/" + "8" * 32 + ".png",
    "8" * 32 + ".svg",
    "8" * 32 + ".png\n",
    "8" * 32 + ".png\0",
    "%2e%2e%2fsecret.png",
    "\x00",
    "\ud800",
    "８" * 32 + ".png",
    "a" * 10_000,
    "' OR 1=1 --",
)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as running:
        yield running


@pytest.fixture
def postgresql_url(server: Server) -> str:
    """An empty database, the same one each time: each new one would cost the server's end a second of writing."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return server.url


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    store, database = getattr(request, "param", "folder-sqlite").split("-")
    database_url = f"sqlite:///{tmp_path}/records.db"
    if database == "postgresql":
        database_url = request.getfixturevalue("postgresql_url")
    if store == "folder":
        return Place((tmp_path / "files").as_uri(), database_url, S3Access())
    s3: S3Server = request.getfixturevalue("s3")
    bucket = f"files-{secrets.token_hex(4)}"
    s3.new_bucket(bucket)
    access = S3Access(s3.url, "eu-central-1", ACCESS_KEY, SECRET_KEY, allow_http=True)
    return Place(f"s3://{bucket}/some/where", database_url, access)


@pytest.fixture
async def shelf(place: Place) -> AsyncIterator[Shelf]:
    async with opened(place) as there:
        yield there


everywhere = pytest.mark.parametrize("place", PLACES, indirect=True)
in_both_stores = pytest.mark.parametrize("place", PLACES[:2], indirect=True)


@everywhere
async def test_what_is_kept_has_a_record_and_comes_back(shelf: Shelf) -> None:
    content = picture(1, "WEBP")
    kept = await shelf.assets.keep(content, "ann", source="uploaded", job_id="j", name="C:\\pictures\\a\0b.webp")
    assert (kept.owner, kept.name, kept.source, kept.job_id) == ("ann", "ab.webp", "uploaded", "j")
    assert (kept.media_type, kept.size, kept.width, kept.height) == ("image/webp", len(content), 8, 6)
    assert kept.expires_at is None and len(kept.sha256) == 64
    assert await shelf.assets.record(kept.id, "ann") == kept
    assert await shelf.assets.record(kept.id.partition(".")[0], "ann") == kept
    assert (await shelf.assets.get(kept.id)).content == content


@in_both_stores
async def test_results_come_back_by_name_and_with_their_type(shelf: Shelf) -> None:
    for format, media_type in (("png", "image/png"), ("jpeg", "image/jpeg"), ("webp", "image/webp")):
        name = shelf.assets.new_name(format)
        await shelf.assets.put(name, b"content", "ann")
        found = await shelf.assets.get(name)
        assert (found.content, found.media_type) == (b"content", media_type)
        await shelf.assets.remove([name, name])
        with pytest.raises(NotFound):
            await shelf.assets.get(name)


@everywhere
async def test_the_same_bytes_kept_again_are_the_same_file(shelf: Shelf) -> None:
    first = await shelf.assets.keep(picture(), "ann", source="uploaded")
    assert await shelf.assets.keep(picture(), "ann", source="uploaded", name="another") == first
    passing = await shelf.assets.keep(picture(), "ann", source="uploaded", expires_s=60)
    longer = await shelf.assets.keep(picture(), "ann", source="uploaded", expires_s=600)
    assert passing.expires_at and longer.expires_at and longer.expires_at > passing.expires_at
    shorter = await shelf.assets.keep(picture(), "ann", source="uploaded", expires_s=6)
    assert shorter == longer and longer.id == passing.id
    others = [
        await shelf.assets.keep(picture(), "bob", source="uploaded"),
        await shelf.assets.keep(picture(), "ann", source="hint"),
        await shelf.assets.keep(picture(1), "ann", source="uploaded"),
    ]
    ids = {first.id, passing.id, *(other.id for other in others)}
    assert len(ids) == 5 and len(await shelf.paths()) == 5


@everywhere
async def test_many_who_keep_the_same_at_once_agree(shelf: Shelf) -> None:
    kept = await asyncio.gather(*(shelf.assets.keep(picture(), "ann", source="uploaded") for _ in range(12)))
    assert len({record.id for record in kept}) == 1
    assert len(await shelf.paths()) == 1


@everywhere
async def test_pages_are_read_to_the_end_without_gaps(shelf: Shelf) -> None:
    kept = [await shelf.assets.keep(picture(n), "ann", source=("odd", "even")[n % 2]) for n in range(7)]
    await shelf.assets.keep(picture(), "bob", source="odd")
    seen: list[AssetRecord] = []
    cursor = None
    while True:
        page = await shelf.assets.page("ann", 3, cursor)
        seen += page.records
        if (cursor := page.next) is None:
            break
    assert seen == kept[::-1]
    some = await shelf.assets.page("ann", 50, sources=("even", "\0"))
    assert [record.source for record in some.records] == ["even"] * 3
    assert (await shelf.assets.page("ann", 50, sources=("\0",))).records == ()
    for cursor in ("?", "AAAA", "f_AAAAAAAABh", "QAAAAAAAAAAA"):
        with pytest.raises(InvalidInput, match="cursor"):
            await shelf.assets.page("ann", 3, cursor)


@everywhere
async def test_another_s_files_are_as_unknown_as_none(shelf: Shelf) -> None:
    kept = await shelf.assets.keep(picture(), "ann", source="uploaded")
    with capture_logs() as said:
        with pytest.raises(NotFound) as others:
            await shelf.assets.record(kept.id, "bob")
        with pytest.raises(NotFound) as nobodys:
            await shelf.assets.record("9" * 32 + ".png", "bob")
        assert await shelf.assets.drop([kept.id, "9" * 32 + ".png"], "bob") == 0
        assert (await shelf.assets.record(kept.id, "ann")).owner == "ann"
    assert others.value.message == nobodys.value.message
    assert [(line["event"], line["file"], line["owner"]) for line in said] == [
        ("another owner's file was requested", kept.id, "bob")
    ] * 2
    assert (await shelf.assets.page("bob", 10)).records == ()
    assert (await shelf.assets.get(kept.id)).content == picture()
    assert await shelf.assets.drop([kept.id, kept.id], "ann") == 1
    assert await shelf.paths() == []
    with pytest.raises(NotFound):
        await shelf.assets.record(kept.id, "ann")


@everywhere
async def test_hostile_ids_reach_nothing(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    kept = await shelf.assets.keep(picture(), "ann", source="uploaded")
    for id in HOSTILE:
        for question in (
            shelf.assets.record(id, "ann"),
            shelf.assets.get(id),
            shelf.assets.serve(id, None, None),
            shelf.uploads.get("", id, "ann"),
            shelf.uploads.complete("", id, "ann"),
        ):
            with pytest.raises(NotFound):
                await question
    assert await shelf.assets.drop(HOSTILE, "ann") == 0
    assert await shelf.assets.record(kept.id, "ann") == kept
    with pytest.raises(InvalidInput, match="at most"):
        await shelf.assets.drop(["x"] * 1000, "ann")


@pytest.mark.parametrize(
    "content", [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"GIF89a", b"\x89PNG"]
)
async def test_only_pictures_are_kept(shelf: Shelf, content: bytes) -> None:
    with pytest.raises(InvalidInput):
        await shelf.assets.keep(content, "ann", source="uploaded")
    assert await shelf.paths() == []


# --- links ------------------------------------------------------------------------------------------------------


def parts_of(url: str) -> tuple[str, str, str]:
    """Name, end and signature in a link."""
    path, _, query = url.partition("?expires=")
    return path.rpartition("/")[2], *query.split("&signature=")  # type: ignore[return-value]


async def test_what_clients_keep_is_read_through_signed_links_until_they_end(shelf: Shelf) -> None:
    kept = await shelf.assets.keep(picture(), "ann", source="uploaded")
    name, expires, signature = parts_of(shelf.assets.url("http://here", kept.id, 300))
    assert name == kept.id
    assert await shelf.assets.serve(name, expires, signature) == await shelf.assets.get(name)
    other = await shelf.assets.keep(picture(1), "ann", source="uploaded")
    for changed in (
        (other.id, expires, signature),
        (name, str(int(expires) + 60), signature),
        (name, expires, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
        (name, expires, ""),
        (name, expires, "é"),
        (name, None, signature),
        (name, "-1", signature),
        (name, "9" * 400, signature),
        (name, "٣", signature),
        (name, expires, None),
        (name, None, None),
    ):
        with pytest.raises(Forbidden):
            await shelf.assets.serve(*changed)
    shelf.clock[0] = int(expires)
    with pytest.raises(Forbidden, match="expired"):
        await shelf.assets.serve(name, expires, signature)


async def test_names_of_results_are_links_unless_the_deployment_signs(place: Place) -> None:
    async with opened(place) as shelf:
        name = shelf.assets.new_name("png")
        await shelf.assets.put(name, b"content")
        assert shelf.assets.url("http://here", name) == f"http://here/controlmesh/v1/assets/{name}"
        assert await shelf.assets.serve(name, None, None) == await shelf.assets.get(name)
        with pytest.raises(Forbidden):
            await shelf.assets.serve(name, "1900000000", "0" * 64)
    async with opened(place, urls="signed") as shelf:
        with pytest.raises(Forbidden):
            await shelf.assets.serve(name, None, None)
        # Another process of the same deployment reads the link, whose key lies in the database.
        link = parts_of(shelf.assets.url("http://here", name))
        async with opened(place, urls="signed") as other:
            assert (await other.assets.serve(*link)) == await shelf.assets.get(name)


async def test_all_processes_of_a_deployment_agree_on_a_key(postgresql_url: str) -> None:
    with open_database(postgresql_url) as one, open_database(postgresql_url) as two:
        keys = await asyncio.gather(*(base.run(partial(shared_key, name="links")) for base in (one, two) * 4))
        assert len(set(keys)) == 1 and len(keys[0]) == 32
        assert await one.run(partial(shared_key, name="another")) != keys[0]


@pytest.mark.parametrize("place", ["bucket-sqlite"], indirect=True)
async def test_a_bucket_serves_its_files_itself_where_the_deployment_says_so(place: Place) -> None:
    async with opened(place, urls="store") as shelf, aiohttp.ClientSession() as http:
        name = shelf.assets.new_name("webp")
        await shelf.assets.put(name, picture(3, "WEBP"))
        found = await shelf.assets.serve(name, None, None)
        assert not hasattr(found, "content")
        async with http.get(found.url) as answer:  # type: ignore[union-attr]
            assert await answer.read() == picture(3, "WEBP") and answer.content_type == "image/webp"


# --- the end of files -------------------------------------------------------------------------------------------


@everywhere
async def test_the_sweep_takes_what_has_expired_and_what_nobody_knows(place: Place) -> None:
    # Everything is older than minus one hour.
    async with opened(place, retention_s=-3600.0) as shelf:
        kept = await shelf.assets.keep(picture(), "ann", source="uploaded")
        passing = await shelf.assets.keep(picture(), "ann", source="uploaded", expires_s=600)
        expired = await shelf.assets.keep(picture(1), "ann", source="uploaded", expires_s=0)
        await shelf.assets.put(shelf.assets.new_name("png"), b"of a job that failed")
        with pytest.raises(NotFound):
            await shelf.assets.record(expired.id, "ann")
        assert [record.id for record in (await shelf.assets.page("ann", 10)).records] == [passing.id, kept.id]
        assert await shelf.assets.sweep() == 2
        assert await shelf.paths() == sorted(f"kept/{record.id}" for record in (kept, passing))
        assert await shelf.assets.sweep() == 0
        again = await shelf.assets.keep(picture(1), "ann", source="uploaded", expires_s=600)
        assert again.id != expired.id and (await shelf.assets.get(again.id)).content == picture(1)


async def test_the_sweep_takes_what_a_killed_writer_left(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    with open_database("") as database:
        assets = Assets(store, 2 * UNFINISHED_S, database)
        (tmp_path / "kept").mkdir()
        name = assets.new_name("png")
        left, kept, fresh = (tmp_path / "kept" / f"{name}#1", tmp_path / name, tmp_path / f"{name}#2")
        for path in (left, kept, fresh):
            path.write_bytes(picture()[:9])
        long_ago = time.time() - UNFINISHED_S - 60
        for path in (left, kept):
            os.utime(path, (long_ago, long_ago))
        assert await assets.sweep() == 1
        assert (left.exists(), kept.exists(), fresh.exists()) == (False, True, True)
        assert await assets.sweep() == 0


@everywhere
async def test_results_are_kept_for_the_retention(place: Place) -> None:
    async with opened(place) as shelf:
        name = shelf.assets.new_name("png")
        await shelf.assets.put(name, b"content", "ann")
        assert await shelf.assets.sweep() == 0 and (await shelf.assets.get(name)).content == b"content"


@everywhere
async def test_several_sweep_at_once_and_each_file_ends_once(place: Place) -> None:
    async with opened(place) as one, opened(place) as two:
        for level in range(12):
            await one.assets.keep(picture(level), "ann", source="uploaded", expires_s=None if level % 2 else 0)
        removed = await asyncio.gather(one.assets.sweep(), two.assets.sweep(), one.assets.sweep())
        assert sum(removed) == 6 and len(await two.paths()) == 6
        for record in (await two.assets.page("ann", 50)).records:
            assert (await two.assets.get(record.id)).media_type == "image/png"


# --- results of jobs --------------------------------------------------------------------------------------------


async def test_a_job_s_pictures_have_records_when_it_has_succeeded(shelf: Shelf) -> None:
    conduct = Conductor()
    outbox = partial(of_job, retention_s=3600.0)
    jobs = JobEngine(shelf.database, TaskWorkflows(4), conduct, shelf.assets, BOUNDS, outbox=outbox)
    await jobs.open()
    conduct.go.set()
    job = await jobs.submit(Order(Generation(prompt="x", samples=2, seed=1), "ann"))
    job = await jobs.wait(job.id, "ann", 60)
    assert job.status == Status.SUCCEEDED
    page = await shelf.assets.page("ann", 10)
    assert {record.id for record in page.records} == set(job.assets)
    for record in page.records:
        content = (await shelf.assets.get(record.id)).content
        assert (record.source, record.job_id, record.size) == ("generated", job.id, len(content))
        assert (record.width, record.height, len(record.sha256)) == (1, 1, 64) and record.expires_at
    conduct.failures.append(InvalidInput("no"))
    failed = await jobs.submit(Order(Generation(prompt="x", seed=1), "ann"))
    assert (await jobs.wait(failed.id, "ann", 60)).status == Status.FAILED
    assert len((await shelf.assets.page("ann", 10)).records) == 2
    await jobs.close()


async def test_records_are_written_in_the_transaction_that_ends_the_job(shelf: Shelf) -> None:
    name = shelf.assets.new_name("png")
    job = Job(
        "j", "ann", Generation(prompt="x"), (name,), status=Status.SUCCEEDED, pictures=(StoredPicture(name, 1, 2, 3),)
    )

    def end(connection: object) -> None:
        of_job(connection, job, 60.0)  # type: ignore[arg-type]
        raise LookupError

    with pytest.raises(LookupError):
        await shelf.database.run(end)
    assert (await shelf.assets.page("ann", 10)).records == ()


async def test_a_bucket_that_is_away_is_unavailable_and_says_nothing_about_itself(tmp_path: Path) -> None:
    with s3_server() as gone:
        access = S3Access(gone.url, "", ACCESS_KEY, SECRET_KEY, allow_http=True)
    place = Place("s3://bucket", f"sqlite:///{tmp_path}/records.db", access)
    async with opened(place) as shelf:
        name = shelf.assets.new_name("png")
        for question in (
            shelf.assets.put(name, b"content"),
            shelf.assets.get(name),
            shelf.assets.keep(picture(), "ann", source="uploaded"),
        ):
            with pytest.raises(Unavailable) as caught:
                await question
            assert gone.address not in caught.value.message and caught.value.retry_after_s
        count = await shelf.database.run(lambda c: c.execute(text("SELECT count(*) FROM cn_assets")).scalar_one())
        assert count == 0
