"""Assets for tests: in a folder or in a bucket of a real S3 server, with records in SQLite or PostgreSQL."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import obstore
import requests
from moto.server import ThreadedMotoServer

from gateway.database.connection import Database, open_database
from gateway.database.encryption import Cipher
from gateway.database.secrets import shared_key
from gateway.files.assets import Assets
from gateway.files.links import Links
from gateway.files.stores import S3Access, open_store
from gateway.files.tenant_storage import StorageOptions, TenantStorages
from gateway.files.uploads import Uploads
from mesh.pictures import Format, encode

ACCESS_KEY, SECRET_KEY = "AKIAEXAMPLE", "a-secret-that-nobody-may-see"


def picture(level: int = 0, format: Format = "PNG") -> bytes:
    """A small file whose content depends on `level`, a grey of 0 to 255."""
    return encode(np.full((6, 8, 3), level, np.uint8), format)


class S3Server:
    """A server that speaks S3, with buckets that anybody may read."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def address(self) -> str:
        """host:port"""
        return self.url.removeprefix("http://")

    def new_bucket(self, name: str) -> str:
        """The URL that its objects lie at."""
        requests.put(f"{self.url}/{name}", timeout=10).raise_for_status()
        reading = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"}
        policy = {"Version": "2012-10-17", "Statement": [reading]}
        requests.put(f"{self.url}/{name}?policy", json=policy, timeout=10).raise_for_status()
        return f"{self.url}/{name}"

    def names(self, bucket: str) -> list[str]:
        """Of all objects in it."""
        store = obstore.store.S3Store(
            bucket,
            endpoint=self.url,
            aws_endpoint_url_s3=self.url,
            region="us-east-1",
            access_key_id=ACCESS_KEY,
            secret_access_key=SECRET_KEY,
            client_options={"allow_http": True},
        )
        return sorted(entry["path"] for entry in obstore.list(store).collect())

    def options(self, bucket_url: str, **changes: Any) -> StorageOptions:
        """A storage in it."""
        given = {"endpoint": bucket_url, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "public_url": bucket_url}
        return StorageOptions(**given | {"directory": "pictures/new"} | changes)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """One server, in a thread."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3Server(f"http://{host}:{port}")
    finally:
        server.stop()


@dataclass(frozen=True)
class Place:
    """Where a test's files and records lie."""

    storage_url: str
    database_url: str
    access: S3Access


@dataclass
class Shelf:
    """Assets at work, and what they are made of."""

    assets: Assets
    uploads: Uploads
    database: Database
    clock: list[float]

    async def paths(self) -> list[str]:
        """Of all files in the deployment's store."""
        return sorted([path async for entries in self.assets.files.entries() for path, _ in entries])


@asynccontextmanager
async def opened(
    place: Place, *, retention_s: float = 3600.0, life_s: float = 3600.0, secret: str = "", **more: Any
) -> AsyncIterator[Shelf]:
    """Assets there. `more`: `urls`, and `allow` for owners' storages."""
    clock = [1_800_000_000.0]
    allow = tuple(more.pop("allow", ()))
    with open_database(place.database_url) as database, open_store(place.storage_url, place.access) as store:
        key = await database.run(partial(shared_key, name="links"))
        storages = TenantStorages(database, Cipher(secret), allow)
        links = Links(key, lambda: clock[0])
        assets = Assets(store, retention_s, database, links=links, storages=storages, **more)
        yield Shelf(assets, Uploads(assets, database, life_s), database, clock)
