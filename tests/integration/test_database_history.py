"""The migrations of the gateway's database: one line of them, there and back, to the tables that the code knows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Boolean, Connection, Engine, column, create_engine, inspect, select, table

from gateway.database import migrations
from gateway.database.connection import engine_url, migrate
from gateway.database.tables import KEYS, METADATA
from tests.rigs.postgres import Server, postgres


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/records.db" if sqlite else request.getfixturevalue("server").new_database()
    engine = create_engine(engine_url(url))
    yield engine
    engine.dispose()


def history() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return ScriptDirectory.from_config(config)


def revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": "cn_schema"}).get_current_revision()


def test_there_is_one_newest_revision_and_no_branch() -> None:
    assert len(history().get_heads()) == 1
    assert not [one.revision for one in history().walk_revisions() if one.is_branch_point or one.is_merge_point]


def test_there_and_back_step_by_step(engine: Engine) -> None:
    line = [one.revision for one in reversed(list(history().walk_revisions()))]
    for one in line:
        migrate(engine, one)
        with engine.connect() as connection:
            assert revision(connection) == one
    assert set(METADATA.tables) <= set(inspect(engine).get_table_names())
    migrate(engine, "base")
    assert set(inspect(engine).get_table_names()) <= {"cn_schema"}
    migrate(engine)
    migrate(engine)
    with engine.connect() as connection:
        assert revision(connection) == line[-1]


def test_what_a_key_chose_is_taken_over(engine: Engine) -> None:
    migrate(engine, "0004")
    chose = {"k_yes": True, "k_no": False, "k_none": None}
    key = {"owner": "x", "name": "x", "scopes": "[]", "created_at": 0.0}
    with engine.begin() as connection:
        old = table("cn_keys", *map(column, ("id", "digest", *key)), column("strict", Boolean))
        connection.execute(old.insert(), [{"id": id, "digest": id, "strict": yes, **key} for id, yes in chose.items()])
    migrate(engine)
    with engine.connect() as connection:
        known = {row.id: row.options for row in connection.execute(select(KEYS.c.id, KEYS.c.options))}
    assert known == {"k_yes": {"enterprise": {"strict": True}}, "k_no": {"enterprise": {"strict": False}}, "k_none": {}}


def test_migrations_make_what_the_code_knows(engine: Engine) -> None:
    migrate(engine)

    def ours(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
        return kind != "table" or name in METADATA.tables

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": "cn_schema", "compare_type": True, "include_object": ours}
        )
        assert compare_metadata(context, METADATA) == []
