"""Owners' own S3 storages, where the results of their jobs go if they ask for it.

Their endpoints are named by clients and so are hostile: every request goes to addresses that were looked at, and
follows no redirect. The library that knows S3 only signs the URLs; it connects to nothing.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Literal

import aiohttp
import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store
from yarl import URL

from gateway.database.connection import Database
from gateway.database.encryption import Cipher
from gateway.egress.hosts import FAILURES, PORTS, Egress, EgressRefused, parsed
from gateway.files import records
from gateway.files.stores import REGION, fixed_credentials
from mesh.errors import InvalidInput, NotFound, Unavailable
from mesh.telemetry import log

STORAGE_PORTS = PORTS | {9000}
"""Those of public hosts, and the one that S3 servers besides Amazon's listen on by habit."""
_LARGEST = 64 * 1024 * 1024
_TIMEOUT_S = 20.0
_PAUSES_S = (0.2, 1.0, None)
_LINK_S = 300
_LONGEST = 512
_FAILURES = (BaseError, *FAILURES)


Method = Literal["GET", "PUT", "DELETE"]


@dataclass(frozen=True)
class StorageOptions:
    """An S3 storage.

    Attributes:
        endpoint: http(s) URL that the bucket lies at: the bucket's own host, or a host and the bucket as its path; the
            bucket may also stand at the beginning of `directory`.
        directory: of the files in it, such as images/2026; "" for none.
        region: "" where the storage has none.
        access_key, secret_key: of somebody who may write, read and delete there.
        public_url: http(s) URL under which the world reads what lies at the endpoint.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    public_url: str
    directory: str = ""
    region: str = ""

    def __post_init__(self) -> None:
        """Raises InvalidInput for what can't be a storage, with the attribute as its field."""
        for name, value in asdict(self).items():
            if len(value) > _LONGEST or any(not 32 < ord(letter) < 127 for letter in value):
                raise InvalidInput(f"{name} must be at most {_LONGEST} visible ASCII characters", field=name)
        for name in ("endpoint", "public_url"):
            try:
                url = parsed(getattr(self, name))
            except (EgressRefused, ValueError):
                url = None
            if url is None or url.query_string:
                raise InvalidInput(f"{name} must be an http(s) URL without user name and query", field=name)
        for name in ("access_key", "secret_key"):
            if not getattr(self, name):
                raise InvalidInput(f"{name} is missing", field=name)
        if any(part in (".", "..") for part in self.directory.split("/")):
            raise InvalidInput("directory must not lead upwards", field="directory")

    @property
    def id(self) -> str:
        """Of the place, whatever the keys are."""
        place = json.dumps([self.endpoint, self.directory, self.public_url])
        return hashlib.sha256(place.encode()).hexdigest()

    def public(self, name: str) -> str:
        """Where the world finds the file."""
        return "/".join(filter(None, (self.public_url.rstrip("/"), self.directory.strip("/"), name)))


class TenantStorage:
    """Files in an owner's storage.

    Args:
        options: where.
        outside: knows which addresses may be connected to.
    """

    def __init__(self, options: StorageOptions, egress: Egress) -> None:
        self.options = options
        self._egress = egress
        self._signer = S3Store(
            "bucket",  # not in the URLs: they begin with the endpoint
            prefix=options.directory.strip("/") or None,
            endpoint=options.endpoint.rstrip("/"),
            aws_endpoint_url_s3=options.endpoint.rstrip("/"),
            virtual_hosted_style_request=True,
            region=options.region or REGION,
            credential_provider=fixed_credentials(options.access_key, options.secret_key),
            client_options={"allow_http": True},
        )

    async def check(self) -> None:
        """Write a file, read it, delete it.

        Raises:
            InvalidInput: any of these failed; one text for all, so that nobody maps a network with it.
        """
        name, content = f"{secrets.token_hex(16)}.probe", secrets.token_bytes(32)
        try:
            await self._ask("PUT", name, content, "application/octet-stream")
            same = await self._ask("GET", name) == content
            await self._ask("DELETE", name)
        except _FAILURES as error:
            log.info("storage refused", reason=f"{type(error).__name__}: {error}"[:200])
            same = False
        if not same:
            raise InvalidInput(
                "the storage was not taken: a file could not be written, read again and deleted there; its endpoint "
                "must be on a public http or https host, and the keys must allow all three",
                field="endpoint",
            )

    async def put(self, name: str, content: bytes, media_type: str) -> None:
        """Write a file, in three tries; Unavailable."""
        for pause_s in _PAUSES_S:
            try:
                await self._ask("PUT", name, content, media_type)
                return
            except _FAILURES as error:
                log.warning("owner's storage refuses", reason=f"{type(error).__name__}: {error}"[:200])
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
        raise Unavailable(
            "the result can't be written to your own storage; check it, or reset the storage", retry_after_s=30
        )

    async def get(self, name: str) -> bytes:
        """Read a file; NotFound for whatever goes wrong: it is the owner's to keep."""
        try:
            return await self._ask("GET", name)
        except _FAILURES as error:
            log.info("owner's storage refuses", reason=f"{type(error).__name__}: {error}"[:200])
            raise NotFound("there is no such file in its owner's storage, or it can't be read there") from None

    async def remove(self, name: str) -> None:
        """Delete a file; what goes wrong is the owner's to see to."""
        try:
            await self._ask("DELETE", name)
        except _FAILURES as error:
            log.info("owner's storage refuses", reason=f"{type(error).__name__}: {error}"[:200])

    async def _ask(self, method: Method, name: str, content: bytes | None = None, media_type: str = "") -> bytes:
        signed = await obstore.sign_async(self._signer, method, name, timedelta(seconds=_LINK_S))
        # Its characters are signed as they are.
        url = URL(signed, encoded=True)
        async with asyncio.timeout(_TIMEOUT_S), self._egress.session(url) as session:
            headers = {"Content-Type": media_type} if media_type else {}
            async with session.request(method, url, data=content, headers=headers, allow_redirects=False) as response:
                if response.status not in (200, 201, 204):
                    raise EgressRefused("status", f"{method} {response.status}")
                return await _body(response)


class TenantStorages:
    """All owners' storages.

    Args:
        database: of their options; secret keys lie in it encrypted.
        seal: encrypts them.
        allow: host:port of private addresses where storages may be, as in Outside.
    """

    def __init__(self, database: Database, cipher: Cipher, allow: tuple[str, ...] = ()) -> None:
        self._database = database
        self._cipher = cipher
        self._egress = Egress(allow=allow, ports=STORAGE_PORTS)

    async def use(self, owner: str, options: StorageOptions) -> None:
        """Check the storage, then make it the owner's; the one before stays if the check fails. As `check` raises."""
        sealed = self._cipher.encrypt(options.secret_key)
        await TenantStorage(options, self._egress).check()
        plain = {name: value for name, value in asdict(options).items() if name != "secret_key"}
        keep = partial(records.set_storage, owner=owner, id=options.id, options=plain, sealed=sealed)
        await self._database.run(keep)
        log.info("storage taken", owner=owner)

    async def reset(self, owner: str) -> bool:
        """Forget the owner's storage and its keys; False if there was none."""
        return await self._database.run(partial(records.drop_storage, owner=owner))

    async def of(self, owner: str) -> TenantStorage | None:
        """The owner's storage, if there is one; Unavailable."""
        found = await self._database.run(partial(records.storage_of, owner=owner))
        if found is None:
            return None
        _, options, sealed = found
        return TenantStorage(self._opened(options, sealed), self._egress)

    def _opened(self, options: Mapping[str, Any], sealed: str) -> StorageOptions:
        return StorageOptions(**options, secret_key=self._cipher.decrypt(sealed))


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > _LARGEST:
            raise EgressRefused("size", "too large")
    return bytes(body)
