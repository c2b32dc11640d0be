"""An owner's share of the store: bytes and files.

What counts: uploaded files and results, until their records are deleted; announced uploads and their parts; pictures
sent with jobs, until these end. Files in an owner's own storage don't count.
"""

from dataclasses import dataclass

from prometheus_client import Counter
from sqlalchemy import Connection, func, or_, select

from gateway.database.locks import lock
from gateway.database.tables import ASSETS, JOBS, OPEN_JOBS, UPLOAD_PARTS, UPLOADS
from gateway.files.upload_records import OPEN
from mesh.errors import TooOften

REFUSED = Counter("cn_files_refused_total", "Files refused at a limit, by limit.", ["limit"])


@dataclass(frozen=True)
class Usage:
    """What an owner stores: bytes and files."""

    bytes: int
    files: int


@dataclass(frozen=True)
class Quota:
    """Limits of what an owner stores; 0: unlimited.

    Attributes:
        bytes: maximum number of bytes.
        files: maximum number of files.
    """

    bytes: int = 0
    files: int = 0

    def check(self, connection: Connection, owner: str, size: int, files: int = 1, without: str = "") -> None:
        """Check that `owner` may store another `size` bytes in `files` files. Concurrent transactions of the owner that
        check wait for the end of this one, so what it inserts is counted.

        Args:
            without: id of an upload that is not counted, because what is to be stored takes its place.

        Raises:
            TooOften: the limit would be passed.
        """
        if not (self.bytes or self.files):
            return
        lock(connection, f"files of {owner}")
        used = usage(connection, owner, without)
        if self.bytes and used.bytes + size > self.bytes:
            REFUSED.labels("owner_bytes").inc()
            raise TooOften(
                f"your files take {used.bytes} of {self.bytes} bytes, and {size} more don't fit; delete files, or wait "
                "until some have expired"
            )
        if self.files and used.files + files > self.files:
            REFUSED.labels("owner_files").inc()
            raise TooOften(
                f"you have {used.files} files, of {self.files} at most; delete some, or wait until some have expired"
            )


def usage(connection: Connection, owner: str, without: str = "") -> Usage:
    """What `owner` stores in the deployment's store; see `Quota.check` for `without`."""
    kept, files = connection.execute(
        select(func.coalesce(func.sum(ASSETS.c.stored), 0), func.count()).where(
            ASSETS.c.owner == owner, ASSETS.c.stored > 0
        )
    ).one()
    sent = connection.execute(
        select(func.coalesce(func.sum(JOBS.c.input_bytes), 0)).where(
            JOBS.c.status.in_(OPEN_JOBS), JOBS.c.owner == owner
        )
    ).scalar_one()
    parts = (
        select(UPLOAD_PARTS.c.upload, func.sum(UPLOAD_PARTS.c.size).label("size"))
        .group_by(UPLOAD_PARTS.c.upload)
        .where(UPLOAD_PARTS.c.upload.in_(select(UPLOADS.c.id).where(UPLOADS.c.owner == owner)))
        .subquery()
    )
    asked = select(UPLOADS.c.status, UPLOADS.c.size, parts.c.size.label("received")).join(
        parts, parts.c.upload == UPLOADS.c.id, isouter=True
    )
    unfinished = or_(UPLOADS.c.status.in_(OPEN), parts.c.size.is_not(None))
    rows = connection.execute(asked.where(UPLOADS.c.owner == owner, UPLOADS.c.id != without, unfinished))
    announced = sum(max(row.size if row.status in OPEN else 0, row.received or 0) for row in rows)
    return Usage(int(kept + sent + announced), files)
