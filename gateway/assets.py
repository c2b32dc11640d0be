"""Results: stored under random names, served to whoever knows the name, swept after a day."""

import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import LocalStore

from mesh.errors import NotFound, Unavailable
from mesh.settings import SettingsError
from mesh.telemetry import log

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_NAME = re.compile(r"[0-9a-f]{32}\.(png|jpeg|webp)")


@dataclass(frozen=True)
class Asset:
    """A stored file and its media type."""

    content: bytes
    media_type: str


class Assets:
    """One place where results lie.

    Args:
        store: obstore's store; its root holds nothing else.
        retention_s: seconds that a file is kept.
    """

    def __init__(self, store: LocalStore, retention_s: float) -> None:
        self._store = store
        self._retention = timedelta(seconds=retention_s)

    @staticmethod
    def new_name(format: str) -> str:
        """A name that nobody can guess: it is all that is needed to read the file."""
        return f"{secrets.token_hex(16)}.{format}"

    async def put(self, name: str, content: bytes, owner: str = "") -> None:
        """Store `content` of `owner`; readers see all of it or nothing.

        Raises:
            Unavailable: the store refused, such as on a full disk.
        """
        try:
            await obstore.put_async(self._store, name, content)
        except (obstore.exceptions.BaseError, OSError) as error:
            log.error("result can't be stored", exc_info=error)
            raise Unavailable("the result can't be stored at the moment; try again later", retry_after_s=30) from None

    async def get(self, name: str) -> Asset:
        """The file of that name.

        Raises:
            NotFound: there is none, or no longer.
        """
        if _NAME.fullmatch(name):
            try:
                found = await obstore.get_async(self._store, name)
                return Asset(bytes(await found.bytes_async()), MEDIA_TYPES[name.rpartition(".")[2]])
            except (FileNotFoundError, obstore.exceptions.NotFoundError):
                pass
        raise NotFound("there is no such file, or it was kept long enough")

    async def remove(self, names: Sequence[str]) -> None:
        """Remove files; those that are gone already don't matter."""
        if names:
            with suppress(FileNotFoundError, obstore.exceptions.NotFoundError):
                await obstore.delete_async(self._store, list(names))

    async def sweep(self) -> int:
        """Remove what is older than the retention; says how many files."""
        oldest = datetime.now(UTC) - self._retention
        removed = 0
        async for entries in obstore.list(self._store):
            old = [entry["path"] for entry in entries if entry["last_modified"] < oldest]
            if old:
                await obstore.delete_async(self._store, old)
            removed += len(old)
        return removed


@contextmanager
def open_store(url: str) -> Iterator[LocalStore]:
    """The store at `url`, a file:/// URL whose folder is made if needed; empty: a folder that is removed at the end.

    Raises:
        SettingsError: another scheme than file, or a folder that can't be made.
    """
    if not url:
        with tempfile.TemporaryDirectory(prefix="controlmesh-assets-") as folder:
            yield LocalStore(folder)
        return
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise SettingsError(f"CN_GATEWAY_STORAGE_URL={url!r} can't be used; write file:/// and an absolute path")
    folder = unquote(parts.path)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"CN_GATEWAY_STORAGE_URL={url!r} can't be made: {error.strerror}") from None
    yield LocalStore(folder)
