"""The gateway's records over its restarts, and databases that can't be opened."""

import sqlite3
from pathlib import Path

import pytest

from gateway.database.connection import open_database
from mesh.settings import SettingsError
from tests.contract.conftest import running as gateway
from tests.rigs.jobs import Conductor, running

GENERATIONS = "/controlmesh/v1/generations"


async def test_a_restart_keeps_records_and_pictures(tmp_path: Path) -> None:
    kept = {"database_url": f"sqlite:///{tmp_path}/records.db", "storage_url": (tmp_path / "assets").as_uri()}
    async with gateway(**kept) as mesh, mesh.http.post(GENERATIONS, json={"prompt": "a boat", "steps": 2}) as response:
        before = await response.json()
        assert response.status == 200
    async with gateway(**kept) as mesh:
        async with mesh.http.get(f"{GENERATIONS}/{before['id']}") as response:
            after = await response.json()
        assert (after["status"], after["finished_at"]) == ("succeeded", before["finished_at"])
        name = before["images"][0]["url"].rpartition("/")[2]
        async with mesh.http.get(f"/controlmesh/v1/assets/{name}") as response:
            assert response.status == 200 and response.content_type == "image/png"


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"these are no records" * 200)
    with pytest.raises(SettingsError, match="CN_GATEWAY_DATABASE_URL is damaged"):
        open_database(f"sqlite:///{tmp_path}/records.db").__enter__()


async def test_a_damaged_file_of_workflows_is_named(tmp_path: Path) -> None:
    (tmp_path / "records.db-workflows").write_bytes(b"these are no workflows" * 200)
    with pytest.raises(SettingsError, match="ends in -workflows, is damaged"):
        async with running("sqlite", f"sqlite:///{tmp_path}/records.db", tmp_path, Conductor()):
            pass
    # Nothing of the attempt is left in this process.
    (tmp_path / "records.db-workflows").unlink()
    async with running("sqlite", f"sqlite:///{tmp_path}/records.db", tmp_path, Conductor()) as jobs:
        assert await jobs.load() == (0, 0)


def test_a_locked_file_is_said_to_be_locked(tmp_path: Path) -> None:
    with open_database(f"sqlite:///{tmp_path}/records.db"):
        pass
    holder = sqlite3.connect(tmp_path / "records.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(SettingsError, match="CN_GATEWAY_DATABASE_URL is locked"):
            open_database(f"sqlite:///{tmp_path}/records.db").__enter__()
    finally:
        holder.close()


def test_records_of_a_newer_version_are_left_alone(tmp_path: Path) -> None:
    with open_database(f"sqlite:///{tmp_path}/records.db"):
        pass
    with sqlite3.connect(tmp_path / "records.db") as connection:
        connection.execute("UPDATE cn_schema SET version_num = '9999'")
    connection.close()
    with pytest.raises(SettingsError, match="newer version"):
        open_database(f"sqlite:///{tmp_path}/records.db").__enter__()


def test_a_server_that_is_not_there_is_a_matter_of_its_address() -> None:
    with pytest.raises(SettingsError, match="check its address"):
        open_database("postgresql://nobody@127.0.0.1:1/nothing").__enter__()
