"""Owners' own storages, on a real S3 server, and endpoints that are none or lie where they must not."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gateway.database.connection import open_database
from gateway.database.encryption import Cipher
from gateway.files import records as asset_records
from gateway.files.assets import Assets
from gateway.files.stores import S3Access, open_store
from gateway.files.tenant_storage import StorageOptions, TenantStorages
from mesh.errors import InvalidInput, NotEnabled, NotFound, Unavailable
from tests.rigs.assets import SECRET_KEY, Place, S3Server, Shelf, opened, picture, s3_server

SECRET = "sixteen letters or more"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def bucket() -> str:
    return f"tenant-{secrets.token_hex(4)}"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place((tmp_path / "files").as_uri(), f"sqlite:///{tmp_path}/records.db", S3Access())


@pytest.fixture
async def shelf(place: Place, s3: S3Server) -> AsyncIterator[Shelf]:
    async with opened(place, secret=SECRET, allow=[s3.address]) as there:
        yield there


async def put(shelf: Shelf, owner: str, content: bytes = b"content") -> str:
    name = shelf.assets.new_name("png")
    await shelf.assets.put(name, content, owner)
    return name


async def test_results_of_an_owner_go_to_its_storage_and_nobody_else_s(shelf: Shelf, s3: S3Server, bucket: str) -> None:
    before = await put(shelf, "ann")
    await shelf.assets.use_storage("ann", s3.options(s3.new_bucket(bucket)))
    assert s3.names(bucket) == [], "the probe is gone"
    name, other = await put(shelf, "ann"), await put(shelf, "bob")
    assert s3.names(bucket) == [f"pictures/new/{name}"]
    assert await shelf.paths() == sorted([before, other])
    urls = await shelf.assets.urls("http://here", [before, name])
    assert urls == [shelf.assets.url("http://here", before), f"{s3.url}/{bucket}/pictures/new/{name}"]
    async with aiohttp.ClientSession() as http, http.get(urls[1]) as answer:
        assert await answer.read() == b"content" and answer.content_type == "image/png"
    assert (await shelf.assets.get(name)).content == b"content"
    found = await shelf.assets.serve(name, None, None)
    assert found.url == urls[1]  # type: ignore[union-attr]

    assert await shelf.assets.reset_storage("ann")
    assert not await shelf.assets.reset_storage("ann")
    after = await put(shelf, "ann")
    assert await shelf.paths() == sorted([before, other, after])
    assert (await shelf.assets.serve(name, None, None)) == found, "what lies there is still found there"
    with pytest.raises(NotFound):
        await shelf.assets.get(name)


async def test_a_dropped_file_is_removed_from_the_owner_s_storage(shelf: Shelf, s3: S3Server, bucket: str) -> None:
    await shelf.assets.use_storage("ann", s3.options(s3.new_bucket(bucket)))
    name = await put(shelf, "ann")
    row = {"id": name, "owner": "ann", "name": "", "media_type": "image/png", "size": 7, "width": 1, "height": 1}
    row |= {"sha256": "", "source": "generated", "job_id": "j", "fingerprint": None}
    await shelf.database.run(partial(asset_records.add, row=row, expires_s=None, check=lambda _: None))
    assert await shelf.assets.drop([name], "bob") == 0 and s3.names(bucket)
    assert await shelf.assets.drop([name], "ann") == 1 and s3.names(bucket) == []
    with pytest.raises(NotFound):
        await shelf.assets.serve(name, None, None)


async def test_the_sweep_leaves_what_is_its_owner_s(place: Place, s3: S3Server, bucket: str) -> None:
    async with opened(place, retention_s=-3600.0, secret=SECRET, allow=[s3.address]) as shelf:
        await shelf.assets.use_storage("ann", s3.options(s3.new_bucket(bucket)))
        name = await put(shelf, "ann")
        await shelf.assets.sweep()
        assert s3.names(bucket) == [f"pictures/new/{name}"]


async def test_keys_of_storages_are_encrypted_on_disk_and_shown_nowhere(
    shelf: Shelf, s3: S3Server, bucket: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = s3.options(s3.new_bucket(bucket))
    assert SECRET_KEY not in repr(options)
    await shelf.assets.use_storage("ann", options)
    await put(shelf, "ann")
    written = b"".join((tmp_path / f"records.db{ending}").read_bytes() for ending in ("", "-wal"))
    assert options.access_key.encode() in written and SECRET_KEY.encode() not in written
    shown = capfd.readouterr()
    assert SECRET_KEY not in shown.out + shown.err and SECRET not in shown.out + shown.err


async def test_another_secret_of_the_deployment_opens_nothing(place: Place, s3: S3Server, bucket: str) -> None:
    async with opened(place, secret=SECRET, allow=[s3.address]) as shelf:
        await shelf.assets.use_storage("ann", s3.options(s3.new_bucket(bucket)))
    for secret in ("another secret altogether", ""):
        async with opened(place, secret=secret, allow=[s3.address]) as shelf:
            with pytest.raises(Unavailable, match="CN_GATEWAY_SECRET"):
                await put(shelf, "ann")
            await put(shelf, "bob")


async def test_without_a_secret_keys_are_kept_only_as_long_as_the_process(place: Place, s3: S3Server) -> None:
    options = s3.options(s3.new_bucket("without-a-secret"))
    async with opened(place, allow=[s3.address]) as shelf:
        with pytest.raises(NotEnabled, match="CN_GATEWAY_SECRET"):
            await shelf.assets.use_storage("ann", options)
    with open_database("") as database, open_store("") as store:
        storages = TenantStorages(database, Cipher("", passing=True), (s3.address,))
        assets = Assets(store, 60.0, database, storages=storages)
        await assets.use_storage("ann", options)
        name = assets.new_name("png")
        await assets.put(name, b"content", "ann")
        assert s3.names("without-a-secret") == [f"pictures/new/{name}"]


# --- refused ----------------------------------------------------------------------------------------------------


class Trap:
    """A server that answers as it is told and counts who comes."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.answer = web.Response
        self.port = 0

    async def __call__(self, request: web.Request) -> web.Response:
        self.seen.append(request.method)
        return self.answer()


@asynccontextmanager
async def trapping() -> AsyncIterator[Trap]:
    trap = Trap()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", trap)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    trap.port = runner.addresses[0][1]
    yield trap
    await runner.cleanup()


async def test_endpoints_in_private_networks_are_not_asked(place: Place) -> None:
    async with trapping() as trap, opened(place, secret=SECRET) as shelf:
        for host in ("127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "127.1"):
            url = f"http://{host}:{trap.port}/bucket"
            with pytest.raises(InvalidInput, match="not accepted") as caught:
                await shelf.assets.use_storage("ann", StorageOptions(url, "key", "secret", url))
            assert host not in caught.value.message and caught.value.field == "endpoint"
        assert trap.seen == []
        await put(shelf, "ann")
        assert len(await shelf.paths()) == 1


async def test_a_storage_that_redirects_is_refused_and_not_followed(place: Place) -> None:
    async with trapping() as inner, trapping() as outer:
        outer.answer = lambda: web.Response(
            status=307, headers={"Location": f"http://127.0.0.1:{inner.port}/latest/meta-data"}
        )
        async with opened(place, secret=SECRET, allow=[f"127.0.0.1:{outer.port}"]) as shelf:
            url = f"http://127.0.0.1:{outer.port}/bucket"
            with pytest.raises(InvalidInput, match="not accepted"):
                await shelf.assets.use_storage("ann", StorageOptions(url, "key", "secret", url))
        assert outer.seen == ["PUT"] and inner.seen == []


async def test_a_storage_that_forgets_is_refused_and_the_one_before_stays(
    shelf: Shelf, s3: S3Server, bucket: str
) -> None:
    await shelf.assets.use_storage("ann", s3.options(s3.new_bucket(bucket)))
    with pytest.raises(InvalidInput, match="not accepted"):
        await shelf.assets.use_storage("ann", s3.options(f"{s3.url}/no-such-bucket"))
    name = await put(shelf, "ann", picture())
    assert s3.names(bucket) == [f"pictures/new/{name}"]


async def test_what_is_read_back_is_compared(place: Place) -> None:
    async with trapping() as trap:
        trap.answer = lambda: web.Response(text="something else")
        async with opened(place, secret=SECRET, allow=["127.0.0.1:*"]) as shelf:
            url = f"http://127.0.0.1:{trap.port}/bucket"
            with pytest.raises(InvalidInput, match="not accepted"):
                await shelf.assets.use_storage("ann", StorageOptions(url, "key", "secret", url))
        assert trap.seen[:2] == ["PUT", "GET"]


async def test_a_storage_that_refuses_later_is_asked_three_times(place: Place, s3: S3Server, bucket: str) -> None:
    async with trapping() as trap:
        trap.answer = lambda: web.Response(status=500)
        url = f"http://127.0.0.1:{trap.port}/bucket"
        options = StorageOptions(url, "key", "secret", url)
        async with opened(place, secret=SECRET, allow=["127.0.0.1:*"]) as shelf:
            plain = {"endpoint": url, "access_key": "key", "public_url": url}
            row = {"owner": "ann", "id": options.id, "options": plain, "sealed": Cipher(SECRET).encrypt("secret")}
            await shelf.database.run(partial(asset_records.set_storage, **row))
            with pytest.raises(Unavailable, match="your own storage") as caught:
                await put(shelf, "ann")
            assert url not in caught.value.message
        assert trap.seen == ["PUT"] * 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoint", ""),
        ("endpoint", "s3://bucket"),
        ("endpoint", "file:///etc/passwd"),
        ("endpoint", "http://user:password@host/bucket"),
        ("endpoint", "http://host/bucket?list"),
        ("endpoint", "http://host\\@127.0.0.1/"),
        ("public_url", "javascript:alert(1)"),
        ("public_url", "https://host/\r\nSet-Cookie: a=b"),
        ("access_key", ""),
        ("secret_key", ""),
        ("secret_key", "two words\n"),
        ("directory", "../../other"),
        ("directory", "a\0b"),
        ("region", "x" * 1000),
    ],
)
def test_options_that_name_no_storage_are_refused_with_their_field(field: str, value: str) -> None:
    good = {"endpoint": "https://host/b", "access_key": "k", "secret_key": "s", "public_url": "https://host/b"}
    StorageOptions(**good)
    with pytest.raises(InvalidInput) as caught:
        StorageOptions(**good | {field: value})
    assert caught.value.field == field and (not value or value not in caught.value.message)
