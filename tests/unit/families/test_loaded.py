"""Models that come to a repository and go from it, as a room notices them."""

import os
from pathlib import Path

import msgspec
import pytest

from families.loaded import LoadedModels
from families.manifest import Manifest, write_manifest
from mesh.errors import NotFound
from tests.rigs.model_cards import card


def written(repository: Path, name: str) -> None:
    (repository / name).mkdir(exist_ok=True)
    write_manifest(repository / name, msgspec.structs.replace(card(), name=name))


def test_what_comes_is_news_until_it_is_adopted(tmp_path: Path) -> None:
    models = LoadedModels([], tmp_path)
    assert models.difference().added == () and not models
    written(tmp_path, "one")
    assert [found.name for found in models.difference().added] == ["one"] and not models
    models.adopt(models.difference().added[0])
    assert models.difference().added == () and models.find("one").name == "one"
    assert models.exported_at("one") == int((tmp_path / "one" / "manifest.json").stat().st_mtime)


def test_what_is_written_anew_is_news_and_what_goes_is(tmp_path: Path) -> None:
    written(tmp_path, "one")
    models = LoadedModels([msgspec.structs.replace(card(), name="one")], tmp_path)
    assert models.difference().added == ()
    path = tmp_path / "one" / "manifest.json"
    os.utime(path, ns=(0, 1))
    assert [found.name for found in models.difference().added] == ["one"]
    path.unlink()
    difference = models.difference()
    assert (difference.added, [removed.name for removed in difference.removed]) == ((), ["one"])
    models.drop("one")
    assert models.difference().removed == ()
    with pytest.raises(NotFound, match="loaded: none"):
        models.find("one")


async def test_a_room_takes_up_what_its_model_server_has_and_tells_of_what_went(tmp_path: Path) -> None:
    models = LoadedModels([], tmp_path)
    served, asked, gone = set(), [], []

    async def is_served(found: Manifest) -> bool:
        asked.append(found.name)
        return found.name in served

    async def dropped(found: Manifest) -> None:
        gone.append(found.name)

    written(tmp_path, "one")
    with pytest.raises(NotFound, match="loaded: none"):
        await models.seek("one", is_served)
    served.add("one")
    assert (await models.seek("one", is_served)).name == "one"
    await models.seek("one", is_served)
    assert asked == ["one", "one"], "one that is known is not looked for"
    (tmp_path / "one" / "manifest.json").unlink()
    written(tmp_path, "two")
    await models.renew(is_served, dropped)
    assert gone == ["one"] and not models


def test_a_broken_card_is_passed_over_and_a_folder_is_only_looked_at_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    assert LoadedModels([], tmp_path).difference().added == ()
    models = LoadedModels([card()])
    assert models.difference().removed == () and models.exported_at(card().name) == 0


def test_each_has_its_turn() -> None:
    models = LoadedModels([msgspec.structs.replace(card(), name=name) for name in ("a", "b")])
    assert {models.in_turn().name for _ in range(2)} == {"a", "b"}
    with pytest.raises(NotFound, match="no model is exported"):
        LoadedModels([]).in_turn()
