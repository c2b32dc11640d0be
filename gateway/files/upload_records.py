"""Database records of multipart uploads. Each function is one query or change within the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, insert, select, update

from gateway.database.tables import UPLOAD_PARTS, UPLOADS, moment, now


class UploadStatus(StrEnum):
    """State of an upload; the last two are final."""

    PENDING = "pending"
    VALIDATING = "validating"
    VALIDATED = "validated"
    IMPORTED = "imported"
    FAILED = "failed"


OPEN = (UploadStatus.PENDING, UploadStatus.VALIDATING, UploadStatus.VALIDATED)


@dataclass(frozen=True)
class UploadRecord:
    """An upload's record; `asset` is the id of the finished file, `error` the reason for a failure."""

    id: str
    owner: str
    file_name: str
    size: int
    media_type: str
    parts: int
    status: UploadStatus
    error: str | None
    asset: str | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class PartRecord:
    """A part that was received: its number, size and path in the store."""

    number: int
    path: str
    size: int


def begin(connection: Connection, row: dict[str, Any], life_s: float, most: int, most_kept: int) -> UploadRecord | None:
    """Insert a new upload's record; None if the owner already has `most` unfinished ones, or `most_kept` in all."""
    moment = now(connection.dialect)
    kept = connection.execute(select(func.count()).where(UPLOADS.c.owner == row["owner"])).scalar_one()
    if kept >= most_kept:
        return None
    unfinished = and_(UPLOADS.c.owner == row["owner"], UPLOADS.c.status.in_(OPEN), UPLOADS.c.expires_at > moment)
    if connection.execute(select(func.count()).where(unfinished)).scalar_one() >= most:
        return None
    row = {**row, "status": UploadStatus.PENDING, "created_at": moment, "expires_at": moment + life_s}
    connection.execute(insert(UPLOADS).values(row))
    return _record(connection.execute(select(UPLOADS).where(UPLOADS.c.id == row["id"])).one())


def get(connection: Connection, id: str, owner: str | None) -> UploadRecord | None:
    """The upload's record; an owner of None, for holders of signed links only, matches any owner."""
    asked = [UPLOADS.c.id == id, UPLOADS.c.expires_at > now(connection.dialect)]
    if owner is not None:
        asked.append(UPLOADS.c.owner == owner)
    row = connection.execute(select(UPLOADS).where(*asked)).one_or_none()
    return None if row is None else _record(row)


def put_part(connection: Connection, id: str, part: PartRecord) -> str | None:
    """Record a received part; returns the path of the part that it replaces, if any."""
    which = and_(UPLOAD_PARTS.c.upload == id, UPLOAD_PARTS.c.number == part.number)
    replaced = connection.execute(delete(UPLOAD_PARTS).where(which).returning(UPLOAD_PARTS.c.path)).scalar_one_or_none()
    row = {"upload": id, "number": part.number, "path": part.path, "size": part.size}
    connection.execute(insert(UPLOAD_PARTS).values(row))
    return replaced


def owner_of(connection: Connection, id: str) -> str:
    """The owner of a pending upload, or "" if it is gone or complete."""
    pending = and_(UPLOADS.c.id == id, UPLOADS.c.status == UploadStatus.PENDING)
    return connection.execute(select(UPLOADS.c.owner).where(pending)).scalar_one_or_none() or ""


def excess(connection: Connection, id: str) -> int:
    """Bytes by which the parts received are larger than the file that was announced; negative if they are smaller."""
    size = select(UPLOADS.c.size).where(UPLOADS.c.id == id).scalar_subquery()
    received = func.coalesce(func.sum(UPLOAD_PARTS.c.size), 0)
    return int(connection.execute(select(received - size).where(UPLOAD_PARTS.c.upload == id)).scalar_one() or 0)


def parts_of(connection: Connection, id: str) -> list[PartRecord]:
    """The received parts, in order."""
    rows = connection.execute(select(UPLOAD_PARTS).where(UPLOAD_PARTS.c.upload == id).order_by(UPLOAD_PARTS.c.number))
    return [PartRecord(row.number, row.path, row.size) for row in rows]


def advance(connection: Connection, id: str, status: UploadStatus, **changes: Any) -> bool:
    """Change the state of an unfinished upload; False if it is finished."""
    open_one = and_(UPLOADS.c.id == id, UPLOADS.c.status.in_(OPEN))
    return bool(connection.execute(update(UPLOADS).where(open_one).values(status=status, **changes)).rowcount)


def forget_parts(connection: Connection, id: str) -> list[str]:
    """Delete the records of the parts; returns their paths."""
    asked = delete(UPLOAD_PARTS).where(UPLOAD_PARTS.c.upload == id)
    return list(connection.execute(asked.returning(UPLOAD_PARTS.c.path)).scalars())


def expire(connection: Connection, most: int) -> tuple[int, list[str]]:
    """Delete expired uploads; returns their number, and the paths of their parts."""
    old = select(UPLOADS.c.id).where(UPLOADS.c.expires_at <= now(connection.dialect)).limit(most)
    ids = list(connection.execute(delete(UPLOADS).where(UPLOADS.c.id.in_(old)).returning(UPLOADS.c.id)).scalars())
    asked = delete(UPLOAD_PARTS).where(UPLOAD_PARTS.c.upload.in_(ids))
    return len(ids), list(connection.execute(asked.returning(UPLOAD_PARTS.c.path)).scalars())


def _record(row: Row[Any]) -> UploadRecord:
    return UploadRecord(
        id=row.id,
        owner=row.owner,
        file_name=row.file_name,
        size=row.size,
        media_type=row.media_type,
        parts=row.parts,
        status=UploadStatus(row.status),
        error=row.error,
        asset=row.asset,
        created_at=moment(row.created_at),
        expires_at=moment(row.expires_at),
    )
