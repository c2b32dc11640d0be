"""Records of keys on the databases that they may lie in."""

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from gateway.database.connection import Database, open_database
from gateway.database.tables import KEYS
from gateway.keys import records as key_records
from gateway.keys.keys import ADMIN, GENERATE, Holder, digest_of
from gateway.keys.records import KeyRecord, NewKey
from mesh.errors import InvalidInput, NotFound
from tests.rigs.jobs import database_url

OPTIONS = {"enterprise": {"strict": False}}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("keys")
    with database_url(request.param, folder) as url, open_database(url) as database:
        yield database


def make(database: Database, **fields: object) -> tuple[KeyRecord, str]:
    new = NewKey(**{"name": "x", **fields})
    return database.run_here(lambda connection: key_records.create(connection, new))


def test_a_key_is_known_by_its_digest_alone(database: Database) -> None:
    record, key = make(
        database,
        name=" ünï ",
        owner="acme",
        scopes=(ADMIN,),
        most_waiting=0,
        requests_per_minute=60,
        most_priority=0,
        options=OPTIONS,
    )
    assert record.holder == Holder("acme", record.holder.key_id, frozenset({ADMIN, GENERATE}), 0, 60, 0, OPTIONS)
    assert record.name == "ünï" and abs(record.created_at.timestamp() - time.time()) < 60
    assert (record.revoked_at, record.last_used_at) == (None, None)
    valid = database.run_here(key_records.valid)
    assert valid[digest_of(key)] == record.holder
    row = database.run_here(lambda connection: connection.execute(select(KEYS).where(KEYS.c.owner == "acme")).one())
    assert key not in str(row) and row.digest == digest_of(key).hex()


def test_nothing_was_set_is_nothing_bounded(database: Database) -> None:
    record, _ = make(database)
    assert record.holder == Holder(record.holder.key_id, record.holder.key_id)


def test_revoking_is_seen_by_the_mark_and_can_be_repeated(database: Database) -> None:
    record, key = make(database)
    made, revoked = database.run_here(key_records.mark)
    once = database.run_here(lambda connection: key_records.revoke(connection, record.holder.key_id))
    again = database.run_here(lambda connection: key_records.revoke(connection, record.holder.key_id))
    assert once == again and once.revoked_at is not None
    assert database.run_here(key_records.mark) == (made, revoked + 1)
    assert digest_of(key) not in database.run_here(key_records.valid)
    with pytest.raises(NotFound):
        database.run_here(lambda connection: key_records.revoke(connection, "k_none"))


def test_options_change_one_by_one_and_are_seen_by_the_mark(database: Database) -> None:
    record, key = make(database, options=OPTIONS)

    def change(**own: bool | None) -> Holder:
        with_options = {"enterprise": own}
        return database.run_here(lambda link: key_records.change(link, record.holder.key_id, with_options)).holder

    made, changed = database.run_here(key_records.mark)
    assert change(inline=True).options == {"enterprise": {"strict": False, "inline": True}}
    assert change(strict=None).options == {"enterprise": {"inline": True}}
    assert change(inline=None).options == {}
    assert database.run_here(key_records.mark) == (made, changed + 3)
    holder = change(strict=True)
    assert database.run_here(key_records.valid)[digest_of(key)] == holder
    database.run_here(lambda connection: key_records.revoke(connection, record.holder.key_id))
    with pytest.raises(NotFound, match="no valid key has this id"):
        change(strict=False)


def test_use_is_noted_and_changes_no_mark(database: Database) -> None:
    used, unused = make(database, owner="user")[0], make(database, owner="user")[0]
    mark = database.run_here(key_records.mark)
    database.run_here(lambda connection: key_records.touch(connection, {used.holder.key_id}))
    assert database.run_here(key_records.mark) == mark
    listed = database.run_here(lambda connection: key_records.listed(connection, "user"))
    assert {one.holder.key_id: one.last_used_at is not None for one in listed} == {
        used.holder.key_id: True,
        unused.holder.key_id: False,
    }


def test_two_keys_never_share_a_digest(database: Database) -> None:
    _, key = make(database)
    with pytest.raises(IntegrityError):
        database.run_here(
            lambda connection: connection.execute(
                KEYS.insert().values(
                    id="k_other", digest=digest_of(key).hex(), owner="x", name="x", scopes=[GENERATE], created_at=0.0
                )
            )
        )


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a\x00"},
        {"owner": "a b"},
        {"owner": "é"},
        {"scopes": ()},
        {"scopes": ("write",)},
        {"most_waiting": -1},
        {"requests_per_minute": 0},
        {"requests_per_minute": 10**7},
        {"most_priority": 10},
    ],
)
def test_a_key_that_can_not_be_names_its_field(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as refused:
        NewKey(**{"name": "x", **fields})
    assert refused.value.field == next(iter(fields))
