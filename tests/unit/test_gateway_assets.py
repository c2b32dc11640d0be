"""Stored results."""

import os
import time
from pathlib import Path

import pytest
from obstore.store import LocalStore

from gateway.assets import Assets, open_store
from mesh.errors import NotFound, Unavailable
from mesh.settings import SettingsError

PICTURE = b"\x89PNG"


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    return Assets(LocalStore(str(tmp_path)), retention_s=3600)


async def test_what_is_stored_comes_back_with_its_type(assets: Assets) -> None:
    for format, media_type in (("png", "image/png"), ("jpeg", "image/jpeg"), ("webp", "image/webp")):
        name = assets.new_name(format)
        await assets.put(name, PICTURE)
        found = await assets.get(name)
        assert (found.content, found.media_type) == (PICTURE, media_type)


def test_names_are_random_and_long(assets: Assets) -> None:
    names = {assets.new_name("png") for _ in range(100)}
    assert len(names) == 100 and all(len(name) == 32 + 4 for name in names)


@pytest.mark.parametrize(
    "name",
    ["", "x.png", "../secret.png", "%2e%2e/secret.png", "/etc/passwd", "a" * 32 + ".svg", "A" * 32 + ".png", "a" * 32],
)
async def test_no_other_name_reaches_the_store(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "store").mkdir()
    with pytest.raises(NotFound):
        await Assets(LocalStore(str(tmp_path / "store")), 3600).get(name)


async def test_the_sweep_takes_the_old_and_leaves_the_new(tmp_path: Path, assets: Assets) -> None:
    old, new = assets.new_name("png"), assets.new_name("png")
    await assets.put(old, PICTURE)
    await assets.put(new, PICTURE)
    os.utime(tmp_path / old, (time.time() - 3700,) * 2)
    assert await assets.sweep() == 1
    assert (await assets.get(new)).content == PICTURE
    with pytest.raises(NotFound):
        await assets.get(old)
    assert await assets.sweep() == 0


async def test_a_store_that_refuses_is_unavailable_and_says_nothing_about_itself(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    assets = Assets(LocalStore(str(folder)), 3600)
    folder.rmdir()
    folder.write_text("a file where the folder was")
    with pytest.raises(Unavailable) as caught:
        await assets.put(assets.new_name("png"), PICTURE)
    assert str(tmp_path) not in caught.value.message


def test_the_store_without_a_url_ends_with_its_context() -> None:
    with open_store("") as store:
        folder = Path(str(store.prefix))
        assert folder.is_dir()
    assert not folder.exists()


def test_a_folder_is_made_where_the_url_says(tmp_path: Path) -> None:
    with open_store(f"file://{tmp_path}/a%20b/c"):
        assert (tmp_path / "a b" / "c").is_dir()


@pytest.mark.parametrize("url", ["s3://bucket", "file:relative", "file://host/path", "folder"])
def test_other_places_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="CN_GATEWAY_STORAGE_URL"), open_store(url):
        pass
