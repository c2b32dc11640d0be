"""Database records of files. Each function is one query or change within the caller's transaction.

A record's id is the file's name. Names are random and never reused, so any process may remove a file without a record
at any time.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from gateway.database.paging import newest
from gateway.database.tables import ASSETS, PLACES, STORAGES, moment, now
from mesh.telemetry import log

GENERATED = "generated"
"""`source` of the results of jobs."""


@dataclass(frozen=True)
class AssetRecord:
    """A file's record.

    Attributes:
        id: its name in URLs.
        owner: its owner.
        name: the client's name for it, or "". For people to read, never part of a path.
        size: in bytes.
        width, height: in pixels, from its header.
        source: its origin, such as `generated`.
        job_id: of the job that made it, or "".
        expires_at: when it is removed; None: only when its owner deletes it.
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
    """A page of an owner's files and the cursor of the next page; None on the last one."""

    records: tuple[AssetRecord, ...]
    next: str | None = None


@dataclass(frozen=True)
class Place:
    """The location of a file in its owner's storage: the storage's id and the file's public URL."""

    owner: str
    storage: str
    url: str


def refreshed(connection: Connection, fingerprint: str, expires_s: float | None) -> AssetRecord | None:
    """The record with this fingerprint, if it has not expired; its expiry is moved to at least `expires_s` from now."""
    moment = now(connection.dialect)
    alive = and_(ASSETS.c.fingerprint == fingerprint, _alive(connection))
    if expires_s is not None:
        longer = and_(alive, ASSETS.c.expires_at < moment + expires_s)
        connection.execute(update(ASSETS).where(longer).values(expires_at=moment + expires_s))
    row = connection.execute(select(ASSETS).where(alive)).one_or_none()
    return None if row is None else _record(row)


def add(
    connection: Connection, row: dict[str, Any], expires_s: float | None, check: Callable[[Connection], None]
) -> tuple[AssetRecord, bool]:
    """Insert a record, or return the one that another process inserted first; and whether it was inserted here.

    Args:
        check: raises if the owner may not have another file; not called if it has this one.
    """
    moment = now(connection.dialect)
    expired = and_(ASSETS.c.fingerprint == row["fingerprint"], ~_alive(connection))
    # The expired record's file is left to the sweep, which removes files without a record.
    connection.execute(delete(ASSETS).where(expired))
    if (already := refreshed(connection, row["fingerprint"], expires_s)) is not None:
        return already, False
    check(connection)
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
    """A page of an owner's records, newest first unless `oldest_first`; `sources` filters by source."""
    asked = [ASSETS.c.owner == owner, _alive(connection)]
    if sources:
        asked.append(ASSETS.c.source.in_(sources))
    rows, following = newest(connection, ASSETS, asked, limit, after, oldest_first)
    return AssetPage(tuple(map(_record, rows)), following)


def drop(connection: Connection, ids: Sequence[str], owner: str) -> list[str]:
    """Delete the records of those of `ids` that are the owner's; returns their ids."""
    others = select(ASSETS.c.id).where(ASSETS.c.id.in_(ids), ASSETS.c.owner != owner)
    for id in connection.execute(others).scalars():
        _tell(id, owner)
    asked = delete(ASSETS).where(ASSETS.c.id.in_(ids), ASSETS.c.owner == owner)
    return list(connection.execute(asked.returning(ASSETS.c.id)).scalars())


def expire(connection: Connection, most: int) -> list[str]:
    """Delete up to `most` expired records; returns their ids."""
    old = select(ASSETS.c.id).where(~_alive(connection)).limit(most).scalar_subquery()
    # Checked again: another process's `refreshed` may have extended it in between.
    asked = delete(ASSETS).where(ASSETS.c.id.in_(old), ~_alive(connection))
    return list(connection.execute(asked.returning(ASSETS.c.id)).scalars())


def known(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of `names` that have a record."""
    return set(connection.execute(select(ASSETS.c.id).where(ASSETS.c.id.in_(names))).scalars())


def present(connection: Connection) -> datetime:
    """The current time by the database's clock."""
    return moment(connection.execute(select(now(connection.dialect))).scalar_one())


# --- owners' storages -------------------------------------------------------------------------------------------


def set_storage(connection: Connection, owner: str, id: str, options: dict[str, Any], sealed: str) -> None:
    """Set the owner's storage, replacing the previous one."""
    drop_storage(connection, owner)
    row = {"owner": owner, "id": id, "options": options, "sealed": sealed, "created_at": now(connection.dialect)}
    connection.execute(insert(STORAGES).values(row))


def drop_storage(connection: Connection, owner: str) -> bool:
    """Delete the owner's storage and its credentials; False if there was none."""
    return bool(connection.execute(delete(STORAGES).where(STORAGES.c.owner == owner)).rowcount)


def storage_of(connection: Connection, owner: str) -> tuple[str, dict[str, Any], str] | None:
    """Id, options and encrypted key of the owner's storage."""
    row = connection.execute(select(STORAGES).where(STORAGES.c.owner == owner)).one_or_none()
    return None if row is None else (row.id, row.options, row.sealed)


def put_place(connection: Connection, name: str, place: Place) -> None:
    """Record the location of a file, replacing an earlier one."""
    connection.execute(delete(PLACES).where(PLACES.c.name == name))
    row = {"name": name, "owner": place.owner, "storage": place.storage, "url": place.url}
    connection.execute(insert(PLACES).values(**row, created_at=now(connection.dialect)))


def places(connection: Connection, names: Collection[str]) -> dict[str, Place]:
    """Locations of those of `names` that are in an owner's storage."""
    rows = connection.execute(select(PLACES).where(PLACES.c.name.in_(names))).all()
    return {row.name: Place(row.owner, row.storage, row.url) for row in rows}


def forget_places(connection: Connection, names: Collection[str]) -> None:
    """Delete the locations of these files."""
    connection.execute(delete(PLACES).where(PLACES.c.name.in_(names)))


def expire_places(connection: Connection, older_than_s: float) -> int:
    """Delete older locations without a file record; the files themselves belong to their owners."""
    old = PLACES.c.created_at < now(connection.dialect) - older_than_s
    return connection.execute(delete(PLACES).where(old, PLACES.c.name.not_in(select(ASSETS.c.id)))).rowcount


def _tell(id: str, owner: str) -> None:
    # Only in the log: the answer is the same as for an unknown file, but operators should see who probes ids.
    log.warning("another owner's file was requested", file=id, owner=owner)


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
