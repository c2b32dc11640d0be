"""File stores: a folder or an S3 bucket behind one interface, opened by URL."""

import asyncio
import math
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, S3Store
from prometheus_client import Gauge

from mesh.errors import Unavailable
from mesh.private_files import private_folder, tighten
from mesh.settings import SettingsError
from mesh.telemetry import log

REGION = "us-east-1"
"""Of stores that have none but want one named."""
_PAUSES_S = (0.1, 0.5)
"""Pause in seconds before a failed write to a folder is retried."""
_TIMEOUT = "20s"
# The library's own retries: a store that is not available is reported within seconds, not after its three minutes.
_RETRIES: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
MOST_AT_ONCE = 8
"""Files of a folder that a process reads, writes or removes at once: the library has some threads for each, and keeps
them while there is more to do."""
_LOOK_S = 1.0
UNFINISHED_S = 3600.0
"""Age in seconds from which an unfinished file is considered abandoned."""
# The library's own, not public, name for them.
_UNFINISHED = re.compile(r".+#[0-9]+")


@dataclass(frozen=True)
class S3Access:
    """Access to an S3 store; empty strings mean AWS itself and the machine's own identity there."""

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    allow_http: bool = False


FREE = Gauge(
    "cn_files_free_bytes", "Bytes free on the disk of the files, at the last look; buckets have no such limit."
)


class Files:
    """Reads and atomically writes files by path.

    Args:
        store: an obstore store for these files alone.
        floor_bytes: bytes of a folder's disk that stay free, at most a tenth of the disk; see `check_room`.
        disk_usage: tells total, used and free bytes of the disk of a path.
    """

    def __init__(
        self,
        store: LocalStore | S3Store,
        floor_bytes: int = 0,
        disk_usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
    ) -> None:
        self.store = store
        self._is_bucket = isinstance(store, S3Store)
        self._floor_bytes = floor_bytes
        self._disk_usage = disk_usage
        self._looked_at = -math.inf
        self._is_full = False
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)

    async def check_room(self) -> None:
        """Check, at most once a second, that the disk has room for what clients send. Results of accepted jobs are
        written without this check: the room that stays free is for them.

        Raises:
            Unavailable: less than the floor is free.
        """
        if self._is_bucket or not self._floor_bytes:
            return
        present = time.monotonic()
        if present - self._looked_at >= _LOOK_S:
            self._looked_at = present
            total, _, free = await asyncio.to_thread(self._disk_usage, Path(str(self.store.prefix)))
            FREE.set(free)
            self._is_full = free < min(self._floor_bytes, total // 10)
        if self._is_full:
            raise Unavailable("the disk of the file store is nearly full; try again later", retry_after_s=30)

    async def put(self, path: str, content: bytes, media_type: str) -> None:
        """Write a file atomically, with up to three attempts.

        Raises:
            Unavailable: every attempt failed, for instance because the disk is full.
        """
        if self._is_bucket:
            kind = {"Content-Type": media_type}
            # Not a multipart upload: an interrupted one would leave its parts in the bucket.
            await self._asked(obstore.put_async(self.store, path, content, attributes=kind, use_multipart=False))
            return
        for pause_s in _PAUSES_S:
            try:
                async with self._turns:
                    await obstore.put_async(self.store, path, content)
                return
            except (BaseError, OSError) as error:
                log.warning("file can't be written", reason=type(error).__name__, pause_s=pause_s)
                await asyncio.sleep(pause_s)
        async with self._turns:
            await self._asked(obstore.put_async(self.store, path, content))

    async def get(self, path: str) -> bytes | None:
        """The file, or None; Unavailable."""
        try:
            async with self._turn():
                found = await obstore.get_async(self.store, path)
                return bytes(await found.bytes_async())
        except (FileNotFoundError, NotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise _refused(error) from None

    async def remove(self, paths: Sequence[str]) -> None:
        """Remove files; missing ones are ignored. Unavailable."""
        for first in range(0, len(paths), MOST_AT_ONCE):
            some = paths[first : first + MOST_AT_ONCE]
            await asyncio.gather(*(self._remove(path) for path in some))

    async def _remove(self, path: str) -> None:
        try:
            async with self._turn():
                await obstore.delete_async(self.store, path)
        except (FileNotFoundError, NotFoundError):
            pass
        except (BaseError, OSError) as error:
            raise _refused(error) from None

    async def entries(self) -> AsyncIterator[list[tuple[str, datetime]]]:
        """All files in batches: path and time of last modification by the store's clock."""
        async for some in obstore.list(self.store):
            yield [(entry["path"], entry["last_modified"]) for entry in some]

    async def sweep_unfinished(self) -> int:
        """Remove what interrupted writes left in a folder; returns the number of files. Buckets keep no such files."""
        folder = None if self._is_bucket else self.store.prefix
        return await asyncio.to_thread(_sweep_unfinished, Path(folder)) if folder else 0

    async def link(self, path: str, expires_s: float) -> str | None:
        """The store's own presigned URL for reading the file, valid for `expires_s`; None if the store is a folder."""
        if not isinstance(self.store, S3Store):
            return None
        url: str = await self._asked(obstore.sign_async(self.store, "GET", path, timedelta(seconds=expires_s)))
        return url

    def _turn(self) -> AbstractAsyncContextManager[Any]:
        """A turn to ask the store: buckets are asked over connections, which cost no threads."""
        return nullcontext() if self._is_bucket else self._turns

    async def _asked(self, question: Any) -> Any:
        try:
            return await question
        except (BaseError, OSError) as error:
            raise _refused(error) from None


def _sweep_unfinished(folder: Path) -> int:
    removed, oldest = 0, time.time() - UNFINISHED_S
    for path in folder.rglob("*#*"):
        try:
            if _UNFINISHED.fullmatch(path.name) and path.is_file() and path.stat().st_mtime < oldest:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            # It was finished after all, or another process is sweeping too.
            continue
    return removed


def _refused(error: Exception) -> Unavailable:
    log.error("the file store failed", exc_info=error)
    return Unavailable("the file store is not available at the moment; try again later", retry_after_s=30)


@contextmanager
def open_store(url: str, access: S3Access | None = None) -> Iterator[LocalStore | S3Store]:
    """Open the store at `url`: file:///path, whose folder is created if missing, or s3://bucket/prefix; empty: a
    temporary folder.

    Raises:
        SettingsError: another scheme, or the folder can't be created.
    """
    if not url:
        with tempfile.TemporaryDirectory(prefix="controlmesh-assets-") as folder:
            yield LocalStore(folder)
        return
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.netloc:
        yield _bucket(parts.netloc, unquote(parts.path).strip("/"), access or S3Access())
        return
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise SettingsError(
            f"CN_GATEWAY_STORAGE_URL={url!r} can't be used; write file:/// and an absolute path, or s3://bucket/prefix"
        )
    folder = unquote(parts.path)
    try:
        tighten(private_folder(Path(folder)))
    except OSError as error:
        raise SettingsError(f"CN_GATEWAY_STORAGE_URL={url!r} can't be created: {error.strerror}") from None
    yield LocalStore(folder)


def _bucket(bucket: str, prefix: str, access: S3Access) -> S3Store:
    given: dict[str, Any] = {"region": access.region or REGION}
    if access.endpoint:
        # Both names, because the second one, which the environment may set, takes precedence over the first.
        given |= {"endpoint": access.endpoint, "aws_endpoint_url_s3": access.endpoint}
    if access.access_key:
        given["credential_provider"] = fixed_credentials(access.access_key, access.secret_key)
    return S3Store(
        bucket,
        prefix=prefix or None,
        client_options={"allow_http": access.allow_http, "timeout": _TIMEOUT},
        retry_config=_RETRIES,
        **given,
    )


def fixed_credentials(access_key: str, secret_key: str) -> Any:
    """A credential provider for obstore that returns exactly these, whatever the environment has."""

    def provide() -> dict[str, Any]:
        return {"access_key_id": access_key, "secret_access_key": secret_key, "token": None, "expires_at": None}

    return provide
