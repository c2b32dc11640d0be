"""Multipart uploads: a client announces a file, sends its parts to signed links, and completes the upload."""

import asyncio
import re
import secrets
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from gateway.database.connection import Database
from gateway.database.locks import lock
from gateway.files import upload_records as records
from gateway.files.assets import Assets
from gateway.files.names import PART_S, PARTS, label
from gateway.files.upload_records import OPEN, PartRecord, UploadRecord, UploadStatus
from mesh.containers import MAX_BYTES, MEDIA_TYPES, check
from mesh.errors import Conflict, InvalidInput, MeshError, NotFound, TooOften

PATH = "/controlmesh/v1/uploads"
IMAGE = "image"
UPLOADED = "uploaded"
"""`source` of uploaded assets."""
MOST_PARTS = 64
MOST_UNFINISHED = 100
MOST_KEPT = 10_000
"""Uploads of an owner within a day, finished ones included."""
SPELLINGS = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png"}
"""Media types that are not registered but widely used -> the registered ones."""
UNLABELLED = frozenset({"application/octet-stream", "binary/octet-stream"})
"""Media types that say nothing; the file is kept by what its bytes are."""
_ID = re.compile(r"[0-9a-f]{32}")
_SWEPT_AT_ONCE = 200


@dataclass(frozen=True)
class Part:
    """A part of an upload: its number from 1, the URL to PUT it to, and the link's expiry in seconds since 1970."""

    number: int
    url: str
    expires: int


@dataclass(frozen=True)
class Upload:
    """A snapshot of an upload.

    Attributes:
        record: its record.
        parts: its parts with their links.
    """

    record: UploadRecord
    parts: tuple[Part, ...]

    @property
    def id(self) -> str:
        """128 random bits in hex."""
        return self.record.id

    @property
    def status(self) -> UploadStatus:
        """Its state."""
        return self.record.status


class Uploads:
    """Receives files in parts.

    Args:
        assets: stores complete uploads, and until then their parts.
        database: holds the records.
        life_s: seconds within which an upload must be completed.
    """

    def __init__(self, assets: Assets, database: Database, life_s: float = PART_S) -> None:
        self._assets = assets
        self._database = database
        self._life_s = life_s

    async def begin(
        self, base: str, owner: str, *, kind: str, file_name: str, size: int, content_type: str, parts: int
    ) -> Upload:
        """Begin an upload.

        Args:
            base: start of absolute URLs, without a trailing slash.
            kind: IMAGE.
            file_name: the client's name for it.
            size: of the whole file in bytes.
            content_type: media type of the file.
            parts: number of parts, 1 to MOST_PARTS.

        Raises:
            InvalidInput: the file is not accepted; `field` is an argument's name.
            TooOften: the owner has too many unfinished uploads, or its files take too much.
            Unavailable: the store is nearly full.
        """
        if kind != IMAGE:
            raise InvalidInput(f"kind must be {IMAGE}, not {kind[:40]!r}", field="kind")
        if not 1 <= size <= MAX_BYTES:
            raise InvalidInput(f"size must be 1 to {MAX_BYTES} bytes", field="size")
        if not 1 <= parts <= min(MOST_PARTS, size):
            raise InvalidInput(f"parts must be 1 to {MOST_PARTS}, and at most one per byte", field="parts")
        media_type = content_type.partition(";")[0].strip().lower()
        media_type = SPELLINGS.get(media_type, media_type)
        if media_type not in MEDIA_TYPES.values() and media_type not in UNLABELLED:
            raise InvalidInput(
                f"content_type must be {', '.join(MEDIA_TYPES.values())}, not {media_type[:80]!r}", field="content_type"
            )
        row = {
            "id": secrets.token_hex(16),
            "owner": owner,
            "file_name": label(file_name),
            "size": size,
            "media_type": media_type,
            "parts": parts,
        }
        await self._assets.files.check_room()

        def begin(connection: Connection) -> UploadRecord | None:
            self._assets.quota.check(connection, owner, size)
            return records.begin(connection, row, self._life_s, MOST_UNFINISHED, MOST_KEPT)

        begun = await self._database.run(begin)
        if begun is None:
            raise TooOften(
                f"{MOST_UNFINISHED} of your uploads are unfinished, or {MOST_KEPT} were begun within a day; complete "
                "them, or wait a day until they expire"
            )
        return self._shown(begun, base)

    async def get(self, base: str, id: str, owner: str) -> Upload:
        """The owner's upload, with fresh links to its parts. NotFound."""
        return self._shown(await self._record(id, owner), base)

    async def part_limit(self, id: str, number: int, expires: str | None, signature: str | None) -> int:
        """The most bytes that the holder of a part's signed link may send: the whole file's. Call it before reading.

        Raises:
            Forbidden: the link is invalid or has expired.
            NotFound, Conflict: the upload has expired, or it is complete.
        """
        self._assets.links.check(_subject(id, number), expires, signature)
        upload = await self._record(id, None)
        if upload.status != UploadStatus.PENDING:
            raise _complete()
        return upload.size

    async def put_part(self, id: str, number: int, content: bytes, expires: str | None, signature: str | None) -> None:
        """Store a part sent by the holder of its signed link, replacing one that was sent before.

        Raises:
            Forbidden, NotFound, Conflict: as `part_limit`.
            InvalidInput: the part is empty or larger than the whole file.
            TooOften: the parts are larger than the file that was announced, and the owner's files take too much.
            Unavailable: the store is not available, or nearly full.
        """
        size = await self.part_limit(id, number, expires, signature)
        if not 1 <= len(content) <= size:
            raise InvalidInput(f"part {number} has {len(content)} bytes; the whole file has {size}")
        await self._assets.files.check_room()
        part = PartRecord(number, f"{PARTS}{id}-{number}-{secrets.token_hex(8)}", len(content))
        await self._assets.files.put(part.path, content, "application/octet-stream")

        def record(connection: Connection) -> str | None:
            if not (owner := records.owner_of(connection, id)):
                raise _complete()
            lock(connection, f"files of {owner}")
            replaced = records.put_part(connection, id, part)
            # The whole was announced, so it is counted already, unless the parts are larger.
            if records.excess(connection, id) > 0:
                self._assets.quota.check(connection, owner, 0, 0)
            return replaced

        try:
            replaced = await self._database.run(record)
        except MeshError:
            await self._assets.files.remove([part.path])
            raise
        if replaced is not None:
            await self._assets.files.remove([replaced])

    async def complete(self, base: str, id: str, owner: str) -> Upload:
        """Assemble the parts, check the picture and store it. Calling it again changes nothing.

        If the file differs from the announcement, the upload fails, with the reason in its record.

        Raises:
            NotFound: unknown upload.
            InvalidInput: parts are missing; they can still be sent.
            Unavailable: the store is not available; call it again later.
        """
        # In this order: an upload's parts are deleted after it ends, so while it has not ended they are all there.
        parts = await self._database.run(partial(records.parts_of, id=id)) if _ID.fullmatch(id) else []
        upload = await self._record(id, owner)
        if upload.status in OPEN:
            missing = sorted(set(range(1, upload.parts + 1)) - {part.number for part in parts})
            if missing:
                raise InvalidInput(f"part {missing[0]} is missing; send it before completing the upload", field="parts")
            await self._import(upload, parts)
            await self._assets.files.remove(await self._database.run(partial(records.forget_parts, id=id)))
        return await self.get(base, id, owner)

    async def sweep(self) -> int:
        """Remove expired uploads and their parts; returns the number of uploads."""
        swept = 0
        while True:
            count, paths = await self._database.run(partial(records.expire, most=_SWEPT_AT_ONCE))
            await self._assets.files.remove(paths)
            swept += count
            if count < _SWEPT_AT_ONCE:
                return swept

    async def _import(self, upload: UploadRecord, parts: list[PartRecord]) -> None:
        advance = partial(records.advance, id=upload.id)
        await self._database.run(partial(advance, status=UploadStatus.VALIDATING))
        try:
            content = await self._joined(upload, parts)
            await asyncio.to_thread(_validate, upload, content)
        except InvalidInput as error:
            await self._database.run(partial(advance, status=UploadStatus.FAILED, error=error.message))
            return
        except MeshError:
            # The store is not available: nothing is decided about the file, and the call can be repeated.
            await self._database.run(partial(advance, status=UploadStatus.PENDING))
            raise
        await self._database.run(partial(advance, status=UploadStatus.VALIDATED))
        # The same content is the same asset, so concurrent and repeated calls agree.
        asset = await self._assets.keep(content, upload.owner, source=UPLOADED, name=upload.file_name, upload=upload.id)
        await self._database.run(partial(advance, status=UploadStatus.IMPORTED, asset=asset.id))

    async def _joined(self, upload: UploadRecord, parts: list[PartRecord]) -> bytes:
        if sum(part.size for part in parts) != upload.size:
            raise InvalidInput(f"the parts have {sum(part.size for part in parts)} bytes in total, not {upload.size}")
        pieces = await asyncio.gather(*(self._assets.files.get(part.path) for part in parts))
        found = [piece for piece in pieces if piece is not None]
        if len(found) < len(parts):
            raise InvalidInput("parts of the upload have expired; start a new one")
        return b"".join(found)

    async def _record(self, id: str, owner: str | None) -> UploadRecord:
        found = await self._database.run(partial(records.get, id=id, owner=owner)) if _ID.fullmatch(id) else None
        if found is None:
            raise NotFound("unknown upload, or it has expired: it was not completed within a day")
        return found

    def _shown(self, record: UploadRecord, base: str) -> Upload:
        links = self._assets.links
        end = links.end(self._life_s)
        parts = []
        for number in range(1, record.parts + 1):
            query = links.query(_subject(record.id, number), end)
            parts.append(Part(number, f"{base}{PATH}/{record.id}/parts/{number}{query}", end))
        return Upload(record, tuple(parts))


def _complete() -> Conflict:
    return Conflict("the upload is already complete; start a new one")


def _validate(upload: UploadRecord, content: bytes) -> None:
    format, _, _ = check(content, field="the file")
    if upload.media_type not in (MEDIA_TYPES[format], *UNLABELLED):
        raise InvalidInput(f"the file is {MEDIA_TYPES[format]}, not {upload.media_type} as announced")


def _subject(id: str, number: int) -> str:
    return f"upload/{id}/{number}"
