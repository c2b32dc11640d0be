"""Database records of keys. Each function is one query or change within the caller's transaction."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from gateway.database.tables import KEYS, moment, now
from gateway.jobs.job import PRIORITIES
from gateway.keys.keys import ADMIN, GENERATE, SCOPES, Holder, Options, digest_of
from mesh.errors import InvalidInput, NotFound

PREFIX = "cm_"
"""Prefix of every key, so that secret scanners recognize leaked ones."""
_RANDOM_BYTES = 32
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_MOST = 1_000_000


@dataclass(frozen=True)
class NewKey:
    """A key to be created.

    Attributes:
        name: for people, up to 64 characters.
        owner: owner of the records; "" for an owner of its own.
        scopes, most_waiting, requests_per_minute, most_priority, options: as in Holder.

    Raises:
        InvalidInput: naming the field and what it may be.
    """

    name: str
    owner: str = ""
    scopes: tuple[str, ...] = (GENERATE,)
    most_waiting: int | None = None
    requests_per_minute: int | None = None
    most_priority: int | None = None
    options: Options = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > 64 or not self.name.isprintable():
            raise InvalidInput("name must be 1 to 64 printable characters", field="name")
        if self.owner and not _OWNER.fullmatch(self.owner):
            raise InvalidInput(
                "owner must be 1 to 63 letters, digits, dots, underscores and hyphens, starting with a letter or digit",
                field="owner",
            )
        if not self.scopes or not set(self.scopes) <= set(SCOPES):
            raise InvalidInput(f"scopes must be some of {', '.join(SCOPES)}", field="scopes")
        for name, lowest, highest in (
            ("most_waiting", 0, _MOST),
            ("requests_per_minute", 1, _MOST),
            ("most_priority", PRIORITIES[0], PRIORITIES[-1]),
        ):
            value = getattr(self, name)
            if value is not None and not lowest <= value <= highest:
                raise InvalidInput(f"{name} must be a number from {lowest} to {highest}", field=name)


@dataclass(frozen=True)
class KeyRecord:
    """A key's record for lists; `last_used_at` lags by about a minute."""

    name: str
    holder: Holder
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


def create(connection: Connection, new: NewKey) -> tuple[KeyRecord, str]:
    """Create a key; returns its record and the key itself, which can't be recovered later."""
    key = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    id = f"k_{secrets.token_hex(4)}"
    while connection.execute(select(KEYS.c.id).where(KEYS.c.id == id)).one_or_none() is not None:
        id = f"k_{secrets.token_hex(4)}"
    scopes = set(new.scopes) | ({GENERATE} if ADMIN in new.scopes else set())
    connection.execute(
        insert(KEYS).values(
            id=id,
            digest=digest_of(key).hex(),
            owner=new.owner or id,
            name=new.name.strip(),
            scopes=sorted(scopes),
            most_waiting=new.most_waiting,
            requests_per_minute=new.requests_per_minute,
            most_priority=new.most_priority,
            options=new.options,
            created_at=now(connection.dialect),
        )
    )
    return _record(connection.execute(select(KEYS).where(KEYS.c.id == id)).one()), key


def revoke(connection: Connection, id: str) -> KeyRecord:
    """Revoke a key permanently; revoking it again changes nothing. NotFound."""
    connection.execute(
        update(KEYS).where(KEYS.c.id == id, KEYS.c.revoked_at.is_(None)).values(revoked_at=now(connection.dialect))
    )
    row = connection.execute(select(KEYS).where(KEYS.c.id == id)).one_or_none()
    if row is None:
        raise NotFound("unknown key id; `keys list` shows the keys")
    return _record(row)


def chosen(options: Mapping[str, Mapping[str, bool | None]]) -> Options:
    """`options` without those that are None."""
    known = {
        dialect: {name: value for name, value in own.items() if value is not None} for dialect, own in options.items()
    }
    return {dialect: own for dialect, own in known.items() if own}


def change(connection: Connection, id: str, options: Mapping[str, Mapping[str, bool | None]]) -> KeyRecord:
    """Set options of a key; None resets one to the deployment's. NotFound, also for a revoked key."""
    row = connection.execute(select(KEYS).where(KEYS.c.id == id, KEYS.c.revoked_at.is_(None))).one_or_none()
    if row is None:
        raise NotFound("no valid key has this id; `keys list` shows the keys")
    changed = {dialect: {**row.options.get(dialect, {}), **own} for dialect, own in options.items()}
    kept = chosen({**row.options, **changed})
    connection.execute(update(KEYS).where(KEYS.c.id == id).values(options=kept, changes=KEYS.c.changes + 1))
    return _record(connection.execute(select(KEYS).where(KEYS.c.id == id)).one())


def listed(connection: Connection, owner: str = "") -> list[KeyRecord]:
    """All keys, or an owner's, oldest first, including revoked ones."""
    asked = select(KEYS).order_by(KEYS.c.created_at, KEYS.c.id)
    return [_record(row) for row in connection.execute(asked.where(KEYS.c.owner == owner) if owner else asked)]


def mark(connection: Connection) -> tuple[int, int]:
    """The number of keys ever created, and of revocations and changes: if both are unchanged, so are the keys."""
    changed = func.count(KEYS.c.revoked_at) + func.coalesce(func.sum(KEYS.c.changes), 0)
    made, changes = connection.execute(select(func.count(), changed).select_from(KEYS)).one()
    return made, changes


def valid(connection: Connection) -> Mapping[bytes, Holder]:
    """Holders of the keys that are not revoked, by digest."""
    rows = connection.execute(select(KEYS).where(KEYS.c.revoked_at.is_(None)))
    return {bytes.fromhex(row.digest): _holder(row) for row in rows}


def touch(connection: Connection, ids: Iterable[str]) -> None:
    """Set the keys' time of last use to now."""
    connection.execute(update(KEYS).where(KEYS.c.id.in_(sorted(ids))).values(last_used_at=now(connection.dialect)))


def _holder(row: Row[Any]) -> Holder:
    return Holder(
        owner=row.owner,
        key_id=row.id,
        scopes=frozenset(row.scopes),
        most_waiting=row.most_waiting,
        requests_per_minute=row.requests_per_minute,
        most_priority=row.most_priority,
        options=row.options,
    )


def _record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(
        name=row.name,
        holder=_holder(row),
        created_at=moment(row.created_at),
        revoked_at=moment(row.revoked_at),
        last_used_at=moment(row.last_used_at),
    )
