"""Stores what clients upload: once, and within their owner's quota."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection

from gateway.database.connection import Database
from gateway.files import records
from gateway.files.names import media_type, new_name, path_of
from gateway.files.quota import Quota
from gateway.files.records import AssetRecord
from gateway.files.stores import Files
from mesh.containers import examined
from mesh.errors import TooOften


@dataclass(frozen=True)
class Kept:
    """What is to be kept; see Assets.keep."""

    content: bytes = field(repr=False)
    owner: str
    source: str
    job_id: str
    name: str
    expires_s: float | None
    upload: str


async def keep(files: Files, database: Database, quota: Quota, kept: Kept) -> AssetRecord:
    """Store a picture without what is behind its end, and its record; see Assets.keep."""
    layout = await examined(kept.content)
    content, (width, height) = kept.content[: layout.end], layout.upright
    digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
    kind = "\0".join((kept.owner, kept.source, "kept" if kept.expires_s is None else "passing", digest))
    fingerprint = hashlib.sha256(kind.encode()).hexdigest()
    refresh = partial(records.refreshed, fingerprint=fingerprint, expires_s=kept.expires_s)
    if known := await database.run(refresh):
        return known
    await files.check_room()

    def fits(connection: Connection) -> None:
        quota.check(connection, kept.owner, len(content), without=kept.upload)

    await database.run(fits)
    id = new_name(layout.format.lower(), private=True)
    row = {
        "id": id,
        "owner": kept.owner,
        "name": kept.name,
        "media_type": media_type(id),
        "size": len(content),
        "stored": len(content),
        "width": width,
        "height": height,
        "sha256": digest,
        "source": kept.source,
        "job_id": kept.job_id,
        "fingerprint": fingerprint,
    }
    # The file first: once there is a record, the file must be readable.
    await files.put(path_of(id), content, media_type(id))
    try:
        # Checked again: others may have stored files meanwhile.
        record, is_new = await database.run(partial(records.add, row=row, expires_s=kept.expires_s, check=fits))
    except TooOften:
        await files.remove([path_of(id)])
        raise
    if not is_new:
        await files.remove([path_of(id)])
    return record
