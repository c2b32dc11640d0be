"""Assets: results of jobs and files that clients upload, under unguessable names, with records."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from obstore.store import LocalStore, S3Store

from gateway.database.connection import Database
from gateway.files import records
from gateway.files.keeping import Kept, keep
from gateway.files.links import Links
from gateway.files.names import is_fit, is_name, is_private, label, media_type, names, new_name, path_of, unknown
from gateway.files.quota import Quota
from gateway.files.records import AssetPage, AssetRecord, Place
from gateway.files.stores import Files
from gateway.files.sweep import sweep
from gateway.files.tenant_storage import StorageOptions, TenantStorages
from gateway.settings import ASSET_URLS
from mesh.errors import InvalidInput, NotEnabled

PATH = "/controlmesh/v1/assets"
OPEN, SIGNED, STORE = ASSET_URLS
LINK_S = 86_400.0
"""Default lifetime of a signed link in seconds."""
MOST_IDS = 500


@dataclass(frozen=True)
class Asset:
    """A stored file and its media type."""

    content: bytes
    media_type: str


@dataclass(frozen=True)
class Elsewhere:
    """A file that must be read from another URL."""

    url: str


class Assets:
    """Stores files and their records.

    Args:
        store: an obstore store for these files alone.
        retention_s: seconds for which results are kept.
        database: holds the records.
        links: signs links; None: with a random key of this process.
        urls: how results are read, one of ASSET_URLS. Uploaded files always need a signed link.
        storages: owners' own storages for their results; None: there are none.
        quota: what an owner may store.
        floor_bytes: bytes that stay free on the disk of a folder; see Files.
    """

    def __init__(
        self,
        store: LocalStore | S3Store,
        retention_s: float,
        database: Database,
        *,
        links: Links | None = None,
        urls: str = OPEN,
        storages: TenantStorages | None = None,
        quota: Quota | None = None,
        floor_bytes: int = 0,
    ) -> None:
        self.files = Files(store, floor_bytes)
        self.quota = quota or Quota()
        self.links = links or Links(secrets.token_bytes(32))
        self._retention_s = retention_s
        self._database = database
        self._urls = urls
        self._storages = storages

    # --- files by name ------------------------------------------------------------------------------------------

    @staticmethod
    def new_name(format: str) -> str:
        """An unguessable name. Where links need no signature, knowing it is the permission to read the file."""
        return new_name(format)

    async def put(self, name: str, content: bytes, owner: str = "") -> None:
        """Store `content` atomically, in the storage of `owner` if it has one.

        Raises:
            Unavailable: every attempt failed, for instance because the disk is full.
        """
        storage = await self._storages.of(owner) if self._storages and owner else None
        if storage is None:
            await self.files.put(path_of(name), content, media_type(name))
            return
        await storage.put(name, content, media_type(name))
        place = Place(owner, storage.options.id, storage.options.public(name))
        await self._database.run(partial(records.put_place, name=name, place=place))

    async def get(self, name: str) -> Asset:
        """The file with this name, from whichever storage has it.

        Raises:
            NotFound: unknown or expired.
            Unavailable: the store is not available.
        """
        found = await self._here(name)
        if found is not None:
            return found
        place = await self._place(name)
        storage = await self._storages.of(place.owner) if self._storages and place else None
        if place is None or storage is None or storage.options.id != place.storage:
            raise unknown()
        return Asset(await storage.get(name), media_type(name))

    async def serve(self, name: str, expires: str | None, signature: str | None) -> Asset | Elsewhere:
        """The file for a request with this name and the query of a signed link, if any.

        Raises:
            NotFound: unknown or expired.
            Forbidden: the link has expired or was altered, or this file needs a signed link.
        """
        if not is_name(name):
            raise unknown()
        if expires is not None or signature is not None or self._is_closed(name):
            self.links.check(_subject(name), expires, signature)
        url = await self.files.link(path_of(name), LINK_S) if self._urls == STORE else None
        if url and not await self._place(name):
            return Elsewhere(url)
        found = await self._here(name)
        if found is not None:
            return found
        place = await self._place(name)
        if place is None:
            raise unknown()
        return Elsewhere(place.url)

    async def remove(self, names: Sequence[str]) -> None:
        """Remove files from the deployment's store; missing ones are ignored. Unavailable."""
        await self.files.remove([path_of(name) for name in names])

    def url(self, base: str, name: str, expires_s: float | None = None) -> str:
        """A link that works without a key, whatever `urls` is and wherever the file is stored.

        Args:
            base: start of absolute URLs, without a trailing slash.
            name: of the file, which need not exist yet.
            expires_s: lifetime of the link in seconds; None: LINK_S, or the file's own where no signature is needed.
        """
        plain = f"{base}{PATH}/{name}"
        if expires_s is None and not self._is_closed(name):
            return plain
        return plain + self.links.query(_subject(name), self.links.end(LINK_S if expires_s is None else expires_s))

    async def urls(self, base: str, names: Sequence[str], expires_s: float | None = None) -> list[str]:
        """As `url`, but files in owners' own storages get their public URLs there."""
        placed = await self._database.run(partial(records.places, names=names))
        return [placed[name].url if name in placed else self.url(base, name, expires_s) for name in names]

    # --- records ------------------------------------------------------------------------------------------------

    async def keep(
        self,
        content: bytes,
        owner: str,
        *,
        source: str,
        job_id: str = "",
        name: str = "",
        expires_s: float | None = None,
        upload: str = "",
    ) -> AssetRecord:
        """Store a picture for `owner`. Storing the same picture from the same source again returns the same record.

        Args:
            content: a PNG, JPEG or WebP file; what is behind the picture's end is not kept.
            source: its origin, such as `uploaded`.
            job_id: id of the job that it belongs to.
            name: the client's name for it.
            expires_s: seconds until it is removed; None: only when its owner deletes it.
            upload: id of the upload whose place it takes in the owner's quota.

        Raises:
            InvalidInput: not a picture, or too large.
            TooOften: the owner's files take too much.
            Unavailable: the store is not available, or nearly full.
        """
        kept = Kept(content, owner, source, job_id, label(name), expires_s, upload)
        return await keep(self.files, self._database, self.quota, kept)

    async def record(self, id: str, owner: str) -> AssetRecord:
        """The record of the owner's file with this id, with or without the extension. NotFound."""
        ids = names([id])
        found = await self._database.run(partial(records.get, ids=ids, owner=owner)) if ids else None
        if found is None:
            raise unknown()
        return found

    async def page(
        self,
        owner: str,
        limit: int,
        after: str | None = None,
        sources: Sequence[str] = (),
        *,
        oldest_first: bool = False,
    ) -> AssetPage:
        """A page of at most `limit` of the owner's files after the cursor `after`, newest first unless `oldest_first`;
        `sources` filters by source.

        Raises:
            InvalidInput: `after` is not a valid cursor.
        """
        fit = tuple(source for source in sources if is_fit(source))
        if sources and not fit:
            return AssetPage(())
        return await self._database.run(
            lambda connection: records.page(connection, owner, limit, after, fit, oldest_first)
        )

    async def drop(self, ids: Sequence[str], owner: str) -> int:
        """Remove those of `ids` that are the owner's, from any storage; returns their number. Others are ignored.

        Raises:
            InvalidInput: more than MOST_IDS.
        """
        if len(ids) > MOST_IDS:
            raise InvalidInput(f"{len(ids)} files can't be removed at once; name at most {MOST_IDS}")
        gone = await self._database.run(partial(records.drop, ids=names(ids), owner=owner))
        placed = await self._database.run(partial(records.places, names=gone))
        storage = await self._storages.of(owner) if self._storages and placed else None
        for name, place in placed.items():
            if storage is not None and storage.options.id == place.storage:
                await storage.remove(name)
        await self._database.run(partial(records.forget_places, names=list(placed)))
        await self.remove([name for name in gone if name not in placed])
        return len(gone)

    async def use_storage(self, owner: str, options: StorageOptions) -> None:
        """Check the storage, and from now on store the results of the owner's jobs there.

        Raises:
            InvalidInput: writing, reading or deleting there failed, or its host is not allowed; nothing changes.
            NotEnabled: this deployment has no secret to encrypt the storage's key with.
        """
        if self._storages is None:
            raise NotEnabled("clients' own storages are not enabled on this deployment")
        await self._storages.use(owner, options)

    async def reset_storage(self, owner: str) -> bool:
        """Go back to the deployment's store and delete the owner's credentials; False if there was no storage."""
        return await self._storages.reset(owner) if self._storages else False

    async def sweep(self) -> int:
        """Remove expired and unreferenced files; returns their number. See gateway.files.sweep."""
        return await sweep(self.files, self._database, self._retention_s)

    def _is_closed(self, name: str) -> bool:
        return self._urls == SIGNED or is_private(name)

    async def _here(self, name: str) -> Asset | None:
        if not is_name(name):
            return None
        content = await self.files.get(path_of(name))
        return None if content is None else Asset(content, media_type(name))

    async def _place(self, name: str) -> Place | None:
        if not is_name(name):
            return None
        return (await self._database.run(partial(records.places, names=[name]))).get(name)


def _subject(name: str) -> str:
    return f"asset/{name}"
