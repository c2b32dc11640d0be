"""Records are their owner's: the file, what SQLite writes beside it, and the folder, also those of older versions."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.database.connection import open_database
from gateway.files.stores import open_store


@pytest.fixture(autouse=True)
def loose() -> Iterator[None]:
    """The umask of a process that gives everything to everybody."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def test_a_new_database_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    with open_database(f"sqlite:///{home}/records.db") as database:
        await database.run(lambda connection: connection.execute(text("SELECT 1")).scalar_one())
        assert modes(home) == {"records.db": 0o600, "records.db-wal": 0o600, "records.db-shm": 0o600}
    assert (home.parent.stat().st_mode & 0o777, home.stat().st_mode & 0o777) == (0o700, 0o700)


async def test_a_database_of_an_older_version_is_taken_from_the_others(tmp_path: Path) -> None:
    for name in ("records.db-wal", "records.db-shm", "records.db"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o644)
    with open_database(f"sqlite:///{tmp_path}/records.db") as database:
        await database.run(lambda connection: connection.execute(text("SELECT 1")).scalar_one())
        assert set(modes(tmp_path).values()) == {0o600}


def test_pictures_are_in_a_folder_of_the_owner(tmp_path: Path) -> None:
    old = tmp_path / "assets"
    old.mkdir()
    for folder in (old, tmp_path / "new" / "assets"):
        with open_store(folder.as_uri()):
            assert folder.stat().st_mode & 0o777 == 0o700
