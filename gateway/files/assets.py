"""Files: results of jobs and what clients keep here, under names that nobody can guess, with records."""

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from obstore.store import LocalStore, S3Store

from gateway.database.connection import Database
from gateway.files import records
from gateway.files.links import Links
from gateway.files.names import is_fit, is_name, is_private, label, media_type, names, new_name, path_of, unknown
from gateway.files.records import AssetPage, AssetRecord, Place
from gateway.files.stores import Files
from gateway.files.sweep import sweep
from gateway.files.tenant_storage import StorageOptions, TenantStorages
from gateway.settings import ASSET_URLS
from mesh.errors import InvalidInput, NotEnabled
from mesh.pictures import check

PATH = "/controlmesh/v1/assets"
OPEN, SIGNED, STORE = ASSET_URLS
LINK_S = 86_400.0
"""Seconds that a signed link is good for unless it says otherwise."""
MOST_IDS = 500


@dataclass(frozen=True)
class Asset:
    """A stored file and its media type."""

    content: bytes
    media_type: str


@dataclass(frozen=True)
class Elsewhere:
    """A file that its reader should get from another URL."""

    url: str


class Assets:
    """Where files lie and what is known of them.

    Args:
        store: obstore's; its root holds nothing else.
        retention_s: seconds that results are kept.
        database: of the records.
        links: signs links; None for a key of this process.
        urls: how results are reached, one of ASSET_URLS. What clients keep here needs a signed link always.
        storages: owners' own, where their results go; None for none.
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
    ) -> None:
        self.files = Files(store)
        self.links = links or Links(secrets.token_bytes(32))
        self._retention_s = retention_s
        self._database = database
        self._urls = urls
        self._storages = storages

    # --- files by name ------------------------------------------------------------------------------------------

    @staticmethod
    def new_name(format: str) -> str:
        """A name that nobody can guess: it is all that is needed to read the file, where links need no signature."""
        return new_name(format)

    async def put(self, name: str, content: bytes, owner: str = "") -> None:
        """Store `content`, in the own storage of `owner` if there is one; readers see all of it or nothing.

        Raises:
            Unavailable: the store refused each of a few tries, such as on a full disk.
        """
        storage = await self._storages.of(owner) if self._storages and owner else None
        if storage is None:
            await self.files.put(path_of(name), content, media_type(name))
            return
        await storage.put(name, content, media_type(name))
        place = Place(owner, storage.options.id, storage.options.public(name))
        await self._database.run(partial(records.put_place, name=name, place=place))

    async def get(self, name: str) -> Asset:
        """The file of that name, wherever it lies.

        Raises:
            NotFound: there is none, or no longer.
            Unavailable: the store can't be asked.
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
        """The file for whoever asks with this name and, perhaps, these parts of a signed link.

        Raises:
            NotFound: there is none, or no longer.
            Forbidden: the link has ended or was changed, or the name alone is not enough.
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
        """Remove files from the deployment's store; those that are gone already don't matter. Unavailable."""
        await self.files.remove([path_of(name) for name in names])

    def url(self, base: str, name: str, expires_s: float | None = None) -> str:
        """A link to the file that works without a key, whatever the deployment asks for and wherever the file lies.

        Args:
            base: start of absolute URLs, without a slash at its end.
            name: the file's; it need not exist yet.
            expires_s: seconds that the link is good for; None: LINK_S, or as long as the file where names are enough.
        """
        plain = f"{base}{PATH}/{name}"
        if expires_s is None and not self._is_closed(name):
            return plain
        return plain + self.links.query(_subject(name), self.links.end(LINK_S if expires_s is None else expires_s))

    async def urls(self, base: str, names: Sequence[str], expires_s: float | None = None) -> list[str]:
        """As `url`, but of files in owners' own storages their public URLs there."""
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
    ) -> AssetRecord:
        """Keep a picture for `owner`. The same one from the same source, kept again while it is there, is the same.

        Args:
            content: a PNG, JPEG or WebP file.
            source: where it comes from, such as `uploaded`.
            job_id: of the job that it belongs to.
            name: what the client calls it.
            expires_s: seconds after which it is removed; None for when it is dropped.

        Raises:
            InvalidInput: no picture, or too large.
            Unavailable: it can't be stored at the moment.
        """
        format, width, height = check(content)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
        kind = "\0".join((owner, source, "kept" if expires_s is None else "passing", digest))
        fingerprint = hashlib.sha256(kind.encode()).hexdigest()
        refresh = partial(records.refreshed, fingerprint=fingerprint, expires_s=expires_s)
        if known := await self._database.run(refresh):
            return known
        id = new_name(format.lower(), private=True)
        row = {
            "id": id,
            "owner": owner,
            "name": label(name),
            "media_type": media_type(id),
            "size": len(content),
            "width": width,
            "height": height,
            "sha256": digest,
            "source": source,
            "job_id": job_id,
            "fingerprint": fingerprint,
        }
        # First the file: a record is a promise.
        await self.files.put(path_of(id), content, media_type(id))
        record, is_new = await self._database.run(partial(records.add, row=row, expires_s=expires_s))
        if not is_new:
            await self.remove([id])
        return record

    async def record(self, id: str, owner: str) -> AssetRecord:
        """The owner's file under that id, or under its 32 hex digits alone; NotFound."""
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
        """At most `limit` of the owner's files, of `sources` (none: all), from the cursor `after` on; the newest first,
        unless `oldest_first`.

        Raises:
            InvalidInput: a broken cursor.
        """
        fit = tuple(source for source in sources if is_fit(source))
        if sources and not fit:
            return AssetPage(())
        return await self._database.run(
            lambda connection: records.page(connection, owner, limit, after, fit, oldest_first)
        )

    async def drop(self, ids: Sequence[str], owner: str) -> int:
        """Remove those of the owner's files, wherever they lie; says how many. Others' are passed over.

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
        """From now on put the results of the owner's jobs there, after a check.

        Raises:
            InvalidInput: it can't be written to, read and deleted from, or lies where it must not; nothing changes.
            NotEnabled: this deployment has nothing to encrypt the secret key with.
        """
        if self._storages is None:
            raise NotEnabled("this deployment takes no storages of others")
        await self._storages.use(owner, options)

    async def reset_storage(self, owner: str) -> bool:
        """Go back to the deployment's store, and forget the owner's keys; False if there was no storage."""
        return await self._storages.reset(owner) if self._storages else False

    async def sweep(self) -> int:
        """Remove what has expired and what nobody knows; says how many files. See gateway.files.sweep."""
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
