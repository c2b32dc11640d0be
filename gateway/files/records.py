"""What is known of files: one function a question or change, each within the caller's transaction.

An id is the file's name; it is random and never used again, so that a file whose record is gone can be removed at any
time by anybody.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from gateway.database.paging import newest
from gateway.database.tables import ASSETS, PLACES, STORAGES, moment, now
from mesh.telemetry import log

GENERATED = "generated"
"""Source of the results of jobs."""


@dataclass(frozen=True)
class AssetRecord:
    """A file's record.

    Attributes:
        id: its name in URLs.
        owner: whose it is.
        name: what the client called it; "" for nothing. For people to read, never part of a path.
        size: in bytes.
        width, height: in pixels, as its header says.
        source: how it came here, such as `generated`.
        job_id: of the job that made it, or "".
        expires_at: when it is removed; None for when its owner says so.
    """

    id: str
    owner: str
    name: str
    media_type: str
    size: int
    width: int
    height: int
    sha256: str
    source: str
    job_id: str
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True)
class AssetPage:
    """Some of an owner's files and the cursor to go on with; None at the end."""

    records: tuple[AssetRecord, ...]
    next: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a file lies that is in its owner's storage: of which storage, its public URL."""

    owner: str
    storage: str
    url: str


def refreshed(connection: Connection, fingerprint: str, expires_s: float | None) -> AssetRecord | None:
    """The record under that fingerprint if it has not expired, now kept for `expires_s` from now at least."""
    moment = now(connection.dialect)
    alive = and_(ASSETS.c.fingerprint == fingerprint, _alive(connection))
    if expires_s is not None:
        longer = and_(alive, ASSETS.c.expires_at < moment + expires_s)
        connection.execute(update(ASSETS).where(longer).values(expires_at=moment + expires_s))
    row = connection.execute(select(ASSETS).where(alive)).one_or_none()
    return None if row is None else _record(row)


def add(connection: Connection, row: dict[str, Any], expires_s: float | None) -> tuple[AssetRecord, bool]:
    """Write a record, or find the one of another that was quicker; whether it is the one written."""
    moment = now(connection.dialect)
    expired = and_(ASSETS.c.fingerprint == row["fingerprint"], ~_alive(connection))
    # Its file stays for the sweep, which finds that nobody knows it.
    connection.execute(delete(ASSETS).where(expired))
    times = {"created_at": moment, "expires_at": None if expires_s is None else moment + expires_s}
    try:
        with connection.begin_nested():
            connection.execute(insert(ASSETS).values(**row, **times))
        return _record(connection.execute(select(ASSETS).where(ASSETS.c.id == row["id"])).one()), True
    except IntegrityError:
        known = refreshed(connection, row["fingerprint"], expires_s)
        assert known is not None
        return known, False


def get(connection: Connection, ids: Collection[str], owner: str) -> AssetRecord | None:
    """The owner's record with one of these ids, if it has not expired."""
    asked = and_(ASSETS.c.id.in_(ids), _alive(connection))
    row = connection.execute(select(ASSETS).where(asked)).first()
    if row is not None and row.owner != owner:
        _tell(row.id, owner)
        return None
    return None if row is None else _record(row)


def page(
    connection: Connection, owner: str, limit: int, after: str | None, sources: Sequence[str], oldest_first: bool
) -> AssetPage:
    """Some of an owner's records, the newest first unless `oldest_first`; of `sources`, none for all."""
    asked = [ASSETS.c.owner == owner, _alive(connection)]
    if sources:
        asked.append(ASSETS.c.source.in_(sources))
    rows, following = newest(connection, ASSETS, asked, limit, after, oldest_first)
    return AssetPage(tuple(map(_record, rows)), following)


def drop(connection: Connection, ids: Sequence[str], owner: str) -> list[str]:
    """Forget those of `ids` that are the owner's; their ids."""
    others = select(ASSETS.c.id).where(ASSETS.c.id.in_(ids), ASSETS.c.owner != owner)
    for id in connection.execute(others).scalars():
        _tell(id, owner)
    asked = delete(ASSETS).where(ASSETS.c.id.in_(ids), ASSETS.c.owner == owner)
    return list(connection.execute(asked.returning(ASSETS.c.id)).scalars())


def expire(connection: Connection, most: int) -> list[str]:
    """Forget what has expired; the ids."""
    old = select(ASSETS.c.id).where(~_alive(connection)).limit(most).scalar_subquery()
    # Asked again: another's `refreshed` may have given it more time in between.
    asked = delete(ASSETS).where(ASSETS.c.id.in_(old), ~_alive(connection))
    return list(connection.execute(asked.returning(ASSETS.c.id)).scalars())


def known(connection: Connection, names: Sequence[str]) -> set[str]:
    """Which of these names have a record."""
    return set(connection.execute(select(ASSETS.c.id).where(ASSETS.c.id.in_(names))).scalars())


def present(connection: Connection) -> datetime:
    """The database's clock."""
    return moment(connection.execute(select(now(connection.dialect))).scalar_one())


# --- owners' storages -------------------------------------------------------------------------------------------


def set_storage(connection: Connection, owner: str, id: str, options: dict[str, Any], sealed: str) -> None:
    """Make it the owner's storage, in place of the one before."""
    drop_storage(connection, owner)
    row = {"owner": owner, "id": id, "options": options, "sealed": sealed, "created_at": now(connection.dialect)}
    connection.execute(insert(STORAGES).values(row))


def drop_storage(connection: Connection, owner: str) -> bool:
    """Forget the owner's storage, its keys above all; False if there was none."""
    return bool(connection.execute(delete(STORAGES).where(STORAGES.c.owner == owner)).rowcount)


def storage_of(connection: Connection, owner: str) -> tuple[str, dict[str, Any], str] | None:
    """Id, options and sealed key of the owner's storage."""
    row = connection.execute(select(STORAGES).where(STORAGES.c.owner == owner)).one_or_none()
    return None if row is None else (row.id, row.options, row.sealed)


def put_place(connection: Connection, name: str, place: Place) -> None:
    """Note where a file lies. Put again, it lies where it was put last."""
    connection.execute(delete(PLACES).where(PLACES.c.name == name))
    row = {"name": name, "owner": place.owner, "storage": place.storage, "url": place.url}
    connection.execute(insert(PLACES).values(**row, created_at=now(connection.dialect)))


def places(connection: Connection, names: Collection[str]) -> dict[str, Place]:
    """Where those of `names` lie that are in an owner's storage."""
    rows = connection.execute(select(PLACES).where(PLACES.c.name.in_(names))).all()
    return {row.name: Place(row.owner, row.storage, row.url) for row in rows}


def forget_places(connection: Connection, names: Collection[str]) -> None:
    """Forget where these lie."""
    connection.execute(delete(PLACES).where(PLACES.c.name.in_(names)))


def expire_places(connection: Connection, older_than_s: float) -> int:
    """Forget places of files that are older and have no record; the files themselves are their owners'."""
    old = PLACES.c.created_at < now(connection.dialect) - older_than_s
    return connection.execute(delete(PLACES).where(old, PLACES.c.name.not_in(select(ASSETS.c.id)))).rowcount


def _tell(id: str, owner: str) -> None:
    # Nothing of it in the answer; who goes through ids is for the operator to see.
    log.warning("another owner's file was asked for", file=id, owner=owner)


def _alive(connection: Connection) -> Any:
    return or_(ASSETS.c.expires_at.is_(None), ASSETS.c.expires_at > now(connection.dialect))


def _record(row: Row[Any]) -> AssetRecord:
    return AssetRecord(
        id=row.id,
        owner=row.owner,
        name=row.name,
        media_type=row.media_type,
        size=row.size,
        width=row.width,
        height=row.height,
        sha256=row.sha256,
        source=row.source,
        job_id=row.job_id,
        created_at=moment(row.created_at),
        expires_at=moment(row.expires_at),
    )
