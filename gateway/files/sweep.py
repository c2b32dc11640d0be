"""Removal of expired and unreferenced files."""

from datetime import datetime, timedelta
from functools import partial

from gateway.database.connection import Database
from gateway.files import records
from gateway.files.names import KEPT, PART_S, PARTS, path_of
from gateway.files.stores import Files

_AT_ONCE = 500


async def sweep(files: Files, database: Database, retention_s: float) -> int:
    """Remove expired files, files older than `retention_s` without a record, and unfinished ones; returns the number.

    Files without an expiry have a record and so remain. Several processes may sweep at once: each record is deleted by
    one of them, and file names are never reused.
    """
    removed = await files.sweep_unfinished()
    while gone := await database.run(partial(records.expire, most=_AT_ONCE)):
        await files.remove([path_of(name) for name in gone])
        removed += len(gone)
    removed += await _sweep_old(files, database, await database.run(records.present), retention_s)
    await database.run(partial(records.expire_places, older_than_s=retention_s))
    return removed


async def _sweep_old(files: Files, database: Database, present: datetime, retention_s: float) -> int:
    oldest = present - timedelta(seconds=retention_s)
    oldest_part = present - timedelta(seconds=max(retention_s, PART_S))
    removed = 0
    async for entries in files.entries():
        old = {
            path.removeprefix(KEPT): path
            for path, changed_at in entries
            if changed_at < (oldest_part if path.startswith(PARTS) else oldest)
        }
        if old:
            for name in await database.run(partial(records.known, names=list(old))):
                del old[name]
        await files.remove(list(old.values()))
        removed += len(old)
    return removed
