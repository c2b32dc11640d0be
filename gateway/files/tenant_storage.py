"""Owners' own S3 storages, where the results of their jobs are stored if they configure one.

Clients name the endpoints, so they are untrusted: every request goes to addresses that were checked, and follows no
redirect. The S3 library only signs the URLs; it makes no connection.
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
"""The ports of public hosts, and the usual port of S3 servers other than Amazon's."""
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
        endpoint: http(s) URL of the bucket: the bucket's own host, or a host and the bucket as the path; the bucket may
            also be the first part of `directory`.
        directory: directory of the files in the bucket, such as images/2026; "" for none.
        region: "" if the storage has none.
        access_key, secret_key: credentials that may write, read and delete there.
        public_url: http(s) URL at which the content of the endpoint is publicly readable.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    public_url: str
    directory: str = ""
    region: str = ""

    def __post_init__(self) -> None:
        """Raises InvalidInput for an invalid attribute, with its name as the field."""
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
            raise InvalidInput("directory must not contain '..'", field="directory")

    @property
    def id(self) -> str:
        """Identifies the storage's location, independent of the credentials."""
        place = json.dumps([self.endpoint, self.directory, self.public_url])
        return hashlib.sha256(place.encode()).hexdigest()

    def public(self, name: str) -> str:
        """The file's public URL."""
        return "/".join(filter(None, (self.public_url.rstrip("/"), self.directory.strip("/"), name)))


class TenantStorage:
    """Files in an owner's storage.

    Args:
        options: the storage.
        egress: knows which addresses may be connected to.
    """

    def __init__(self, options: StorageOptions, egress: Egress) -> None:
        self.options = options
        self._egress = egress
        self._signer = S3Store(
            "bucket",  # not part of the URLs, which begin with the endpoint
            prefix=options.directory.strip("/") or None,
            endpoint=options.endpoint.rstrip("/"),
            aws_endpoint_url_s3=options.endpoint.rstrip("/"),
            virtual_hosted_style_request=True,
            region=options.region or REGION,
            credential_provider=fixed_credentials(options.access_key, options.secret_key),
            client_options={"allow_http": True},
        )

    async def check(self) -> None:
        """Check the storage by writing, reading and deleting a file.

        Raises:
            InvalidInput: any of these failed; always the same message, so that nobody can map a network with it.
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
                "the storage was not accepted: a file could not be written, read and deleted there; its endpoint "
                "must be on a public http or https host, and the credentials must allow all three",
                field="endpoint",
            )

    async def put(self, name: str, content: bytes, media_type: str) -> None:
        """Write a file, with up to three attempts; Unavailable."""
        for pause_s in _PAUSES_S:
            try:
                await self._ask("PUT", name, content, media_type)
                return
            except _FAILURES as error:
                log.warning("owner's storage failed", reason=f"{type(error).__name__}: {error}"[:200])
                if pause_s is not None:
                    await asyncio.sleep(pause_s)
        raise Unavailable(
            "the result can't be written to your own storage; check the storage, or reset it", retry_after_s=30
        )

    async def get(self, name: str) -> bytes:
        """Read a file; NotFound for any failure: the owner is responsible for it."""
        try:
            return await self._ask("GET", name)
        except _FAILURES as error:
            log.info("owner's storage failed", reason=f"{type(error).__name__}: {error}"[:200])
            raise NotFound("the file is missing in its owner's storage, or can't be read there") from None

    async def remove(self, name: str) -> None:
        """Delete a file; failures are only logged: the owner is responsible for it."""
        try:
            await self._ask("DELETE", name)
        except _FAILURES as error:
            log.info("owner's storage failed", reason=f"{type(error).__name__}: {error}"[:200])

    async def _ask(self, method: Method, name: str, content: bytes | None = None, media_type: str = "") -> bytes:
        signed = await obstore.sign_async(self._signer, method, name, timedelta(seconds=_LINK_S))
        # Already encoded: the signature covers the characters as they are.
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
        database: holds their options; secret keys are stored in it encrypted.
        cipher: encrypts them.
        allow: host:port pairs of private addresses where storages may be, as in Egress.
    """

    def __init__(self, database: Database, cipher: Cipher, allow: tuple[str, ...] = ()) -> None:
        self._database = database
        self._cipher = cipher
        self._egress = Egress(allow=allow, ports=STORAGE_PORTS)

    async def use(self, owner: str, options: StorageOptions) -> None:
        """Check the storage, then set it as the owner's. If the check fails, nothing changes. Raises as `check`."""
        sealed = self._cipher.encrypt(options.secret_key)
        await TenantStorage(options, self._egress).check()
        plain = {name: value for name, value in asdict(options).items() if name != "secret_key"}
        keep = partial(records.set_storage, owner=owner, id=options.id, options=plain, sealed=sealed)
        await self._database.run(keep)
        log.info("storage set", owner=owner)

    async def reset(self, owner: str) -> bool:
        """Delete the owner's storage and its credentials; False if there was none."""
        return await self._database.run(partial(records.drop_storage, owner=owner))

    async def of(self, owner: str) -> TenantStorage | None:
        """The owner's storage, if it has one. Unavailable."""
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
