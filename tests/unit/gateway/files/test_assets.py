"""Stores and names of files."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import LocalStore

from gateway.bootstrap import s3_access
from gateway.database.connection import Database, open_database
from gateway.database.encryption import Cipher
from gateway.files.assets import Assets
from gateway.files.links import Links
from gateway.files.names import is_name, is_private, label, names, new_name
from gateway.files.stores import S3Access, open_store
from gateway.settings import GatewaySettings
from mesh.errors import Forbidden, NotEnabled, NotFound, Unavailable
from mesh.settings import SettingsError

ROOT = Path(__file__).resolve().parents[4]
PICTURE = b"\x89PNG"


@pytest.fixture
def database() -> Iterator[Database]:
    with open_database("") as database:
        yield database


@pytest.fixture
def assets(tmp_path: Path, database: Database) -> Assets:
    return Assets(LocalStore(str(tmp_path)), 3600, database)


async def test_what_is_stored_comes_back_with_its_type(assets: Assets) -> None:
    for format, media_type in (("png", "image/png"), ("jpeg", "image/jpeg"), ("webp", "image/webp")):
        name = assets.new_name(format)
        await assets.put(name, PICTURE)
        found = await assets.get(name)
        assert (found.content, found.media_type) == (PICTURE, media_type)


def test_names_are_random_and_long_and_say_whether_they_are_enough() -> None:
    for private in (False, True):
        made = {new_name("png", private=private) for _ in range(200)}
        assert len(made) == 200 and all(len(name) == 32 + 4 and is_name(name) for name in made)
        assert {is_private(name) for name in made} == {private}


@pytest.mark.parametrize(
    "name",
    ["", "x.png", "../secret.png", "%2e%2e/secret.png", "/etc/passwd", "a" * 32 + ".svg", "A" * 32 + ".png", "a" * 32],
)
async def test_no_other_name_reaches_the_store(tmp_path: Path, database: Database, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "store").mkdir()
    with pytest.raises(NotFound):
        await Assets(LocalStore(str(tmp_path / "store")), 3600, database).get(name)


def test_ids_without_ending_stand_for_every_ending() -> None:
    assert names(["a" * 32]) == [f"{'a' * 32}.{ending}" for ending in ("png", "jpeg", "webp")]
    assert names(["a" * 32 + ".png", "a" * 31, "x"]) == ["a" * 32 + ".png"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("a.png", "a.png"), ("/etc/a.png", "a.png"), ("C:\\a.png", "a.png"), ("a\0\x1b[31m\x85b", "a[31mb"), ("../", "")],
)
def test_labels_are_no_paths_and_hold_no_control_characters(sent: str, kept: str) -> None:
    assert label(sent) == kept
    assert len(label("é" * 1000)) == 255 and label("a\ud800") == "a"


async def test_the_sweep_takes_the_old_and_leaves_the_new(tmp_path: Path, assets: Assets) -> None:
    old, new = assets.new_name("png"), assets.new_name("png")
    await assets.put(old, PICTURE)
    await assets.put(new, PICTURE)
    os.utime(tmp_path / old, (time.time() - 3700,) * 2)
    assert await assets.sweep() == 1
    assert (await assets.get(new)).content == PICTURE
    with pytest.raises(NotFound):
        await assets.get(old)
    assert await assets.sweep() == 0


async def test_a_store_that_refuses_is_unavailable_and_says_nothing_about_itself(
    tmp_path: Path, database: Database
) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    assets = Assets(LocalStore(str(folder)), 3600, database)
    folder.rmdir()
    folder.write_text("a file where the folder was")
    with pytest.raises(Unavailable) as caught:
        await assets.put(assets.new_name("png"), PICTURE)
    assert str(tmp_path) not in caught.value.message


FULL_DISK = """
import asyncio, json, resource, signal, sys
from obstore.store import LocalStore
from gateway.files.assets import Assets
from gateway.generation.generation import Generation
from gateway.jobs.job import Order
from gateway.database.connection import open_database
from gateway.generation.pipeline import Outcome, Picture
from gateway.jobs.engine import JobEngine
from gateway.jobs.limits import Bounds
from gateway.workflows.tasks import TaskWorkflows

async def conduct(generation, progress, task, owner):
    # More than there is room for, which is more than the records need.
    return Outcome((Picture(bytes(30_000_000), 1, 8, 8),), (), "", "")

async def main():
    with open_database("") as database:
        assets = Assets(LocalStore(sys.argv[1]), 3600, database)
        jobs = JobEngine(database, TaskWorkflows(4), conduct, assets, Bounds(4, 4, 60))
        await jobs.open()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, resource.RLIM_INFINITY))
        job = await jobs.submit(Order(Generation(prompt="x", seed=1), "ann"))
        job = await jobs.wait(job.id, "ann", 60)
        print(json.dumps([job.status, type(job.error).__name__, job.error and job.error.message]))
        await jobs.close()

asyncio.run(main())
"""


def test_a_job_whose_picture_finds_no_room_fails_and_leaves_no_half_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    status, kind, message = json.loads(ended.stdout.splitlines()[-1])
    assert (status, kind) == ("failed", "Unavailable") and "file store" in message and str(tmp_path) not in message
    assert ended.stdout.count("file can't be written") == 2, "two tries before the last"
    assert list(tmp_path.iterdir()) == []


# --- stores by URL ----------------------------------------------------------------------------------------------


def test_the_store_without_a_url_ends_with_its_context() -> None:
    with open_store("") as store:
        assert isinstance(store, LocalStore)
        folder = Path(str(store.prefix))
        assert folder.is_dir()
    assert not folder.exists()


def test_a_folder_is_made_where_the_url_says(tmp_path: Path) -> None:
    with open_store(f"file://{tmp_path}/a%20b/c"):
        assert (tmp_path / "a b" / "c").is_dir()


@pytest.mark.parametrize("url", ["s3://", "file:relative", "file://host/path", "folder", "http://host/bucket"])
def test_other_places_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="CN_GATEWAY_STORAGE_URL"), open_store(url):
        pass


def test_settings_of_stores_are_checked_and_hide_the_key() -> None:
    settings = GatewaySettings(storage_access_key="key", storage_secret_key="hidden", storage_region="eu-1")
    assert s3_access(settings) == S3Access("", "eu-1", "key", "hidden", False)
    assert "hidden" not in repr(s3_access(settings))
    for wrong in (
        {"storage_access_key": "key"},
        {"storage_secret_key": "hidden"},
        {"asset_urls": "closed"},
        {"secret": "short"},
    ):
        with pytest.raises(SettingsError):
            GatewaySettings(**wrong)  # type: ignore[arg-type]


# --- links and secrets ------------------------------------------------------------------------------------------


def test_a_link_is_good_until_its_end_and_is_mostly_the_same_text() -> None:
    now = [1_000_000_000.0]
    links = Links(b"key", lambda: now[0])
    end = links.end(100)
    assert 100 <= end - now[0] < 160
    query = links.query("asset/a", end)
    expires, signature = query.removeprefix("?expires=").split("&signature=")
    links.check("asset/a", expires, signature)
    now[0] += 1
    assert links.query("asset/a", links.end(100)) == query
    now[0] = end - 0.5
    links.check("asset/a", expires, signature)
    now[0] = end
    with pytest.raises(Forbidden):
        links.check("asset/a", expires, signature)


@pytest.mark.parametrize("change", [{"subject": "asset/b"}, {"key": b"other"}, {"end": 60}])
def test_a_changed_link_is_refused(change: dict[str, object]) -> None:
    made = {"subject": "asset/a", "key": b"key", "end": 0} | change
    signed = Links(b"key", lambda: 0.0)
    end = signed.end(600)
    signature = signed.query("asset/a", end).rpartition("=")[2]
    checking = Links(made["key"], lambda: 0.0)  # type: ignore[arg-type]
    with pytest.raises(Forbidden):
        checking.check(str(made["subject"]), str(end + int(made["end"])), signature)  # type: ignore[call-overload]
    signed.check("asset/a", str(end), signature)


def test_sealed_secrets_open_with_the_same_secret_alone() -> None:
    sealed = Cipher("a long enough secret").encrypt("the key")
    assert "the key" not in sealed and Cipher("a long enough secret").decrypt(sealed) == "the key"
    for other in (Cipher("another long secret"), Cipher("", passing=True), Cipher("")):
        with pytest.raises(Unavailable):
            other.decrypt(sealed)
    with pytest.raises(Unavailable):
        Cipher("a long enough secret").decrypt(sealed[:-4] + "AAAA")
    with pytest.raises(NotEnabled):
        Cipher("").encrypt("the key")
