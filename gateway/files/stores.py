"""Where files lie: a folder or an S3 bucket, opened by URL, asked in one way, failing in one way."""

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, S3Store

from mesh.errors import Unavailable
from mesh.settings import SettingsError
from mesh.telemetry import log

REGION = "us-east-1"
"""Of stores that have none but want one named."""
_PAUSES_S = (0.1, 0.5)
"""Before a write to a folder is tried again."""
_TIMEOUT = "20s"
# The library's own tries: a store that is away is told about in seconds, not in its three minutes.
_RETRIES: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
_MOST_AT_ONCE = 16
UNFINISHED_S = 3600.0
"""Age from which a file that is still being written is taken for one whose writer died."""
# As the library calls them; it shows them to nobody.
_UNFINISHED = re.compile(r".+#[0-9]+")


@dataclass(frozen=True)
class S3Access:
    """How to reach an S3 store; empty strings stand for AWS itself and for the machine's own identity there."""

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    allow_http: bool = False


class Files:
    """Files under paths, whole or not at all.

    Args:
        store: obstore's; its root holds nothing else.
    """

    def __init__(self, store: LocalStore | S3Store) -> None:
        self._store = store
        self._is_bucket = isinstance(store, S3Store)

    async def put(self, path: str, content: bytes, media_type: str) -> None:
        """Write a file; readers see all of it or nothing. A store that refuses is asked three times.

        Raises:
            Unavailable: it refused each time, such as on a full disk.
        """
        if self._is_bucket:
            kind = {"Content-Type": media_type}
            # In parts, an interrupted write would leave them in the bucket.
            await self._asked(obstore.put_async(self._store, path, content, attributes=kind, use_multipart=False))
            return
        for pause_s in _PAUSES_S:
            try:
                await obstore.put_async(self._store, path, content)
                return
            except (BaseError, OSError) as error:
                log.warning("file can't be written", reason=type(error).__name__, pause_s=pause_s)
                await asyncio.sleep(pause_s)
        await self._asked(obstore.put_async(self._store, path, content))

    async def get(self, path: str) -> bytes | None:
        """The file, or None; Unavailable."""
        try:
            found = await obstore.get_async(self._store, path)
            return bytes(await found.bytes_async())
        except (FileNotFoundError, NotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise _refused(error) from None

    async def remove(self, paths: Sequence[str]) -> None:
        """Remove files; those that are gone already don't matter. Unavailable."""
        for first in range(0, len(paths), _MOST_AT_ONCE):
            some = paths[first : first + _MOST_AT_ONCE]
            await asyncio.gather(*(self._remove(path) for path in some))

    async def _remove(self, path: str) -> None:
        try:
            await obstore.delete_async(self._store, path)
        except (FileNotFoundError, NotFoundError):
            pass
        except (BaseError, OSError) as error:
            raise _refused(error) from None

    async def entries(self) -> AsyncIterator[list[tuple[str, datetime]]]:
        """All files, some at a time: path and time of the last change by the store's clock."""
        async for some in obstore.list(self._store):
            yield [(entry["path"], entry["last_modified"]) for entry in some]

    async def sweep_unfinished(self) -> int:
        """Remove what writes left that were killed on the way; says how many. Buckets keep nothing of such."""
        folder = None if self._is_bucket else self._store.prefix
        return await asyncio.to_thread(_sweep_unfinished, Path(folder)) if folder else 0

    async def link(self, path: str, expires_s: float) -> str | None:
        """A URL of the store's own that reads the file for so long; None if the store is no bucket."""
        if not isinstance(self._store, S3Store):
            return None
        url: str = await self._asked(obstore.sign_async(self._store, "GET", path, timedelta(seconds=expires_s)))
        return url

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
            # It was finished after all, or another process sweeps, too.
            continue
    return removed


def _refused(error: Exception) -> Unavailable:
    log.error("the store of files refuses", exc_info=error)
    return Unavailable("files can't be stored or read at the moment; try again later", retry_after_s=30)


@contextmanager
def open_store(url: str, access: S3Access | None = None) -> Iterator[LocalStore | S3Store]:
    """The store at `url`: a file:/// URL whose folder is made if needed, or s3://bucket/prefix; empty: a folder that is
    removed at the end.

    Raises:
        SettingsError: another scheme, or a folder that can't be made.
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
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"CN_GATEWAY_STORAGE_URL={url!r} can't be made: {error.strerror}") from None
    yield LocalStore(folder)


def _bucket(bucket: str, prefix: str, access: S3Access) -> S3Store:
    given: dict[str, Any] = {"region": access.region or REGION}
    if access.endpoint:
        # Both names: the second, which the environment may set, would win over the first.
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
    """Credentials for obstore that are these and nothing else, whatever the environment holds."""

    def provide() -> dict[str, Any]:
        return {"access_key_id": access_key, "secret_access_key": secret_key, "token": None, "expires_at": None}

    return provide
