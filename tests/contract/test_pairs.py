"""The vendors' documented requests and answers, replayed; key by key and type by type."""

from typing import Any

import pytest

from gateway.dialects.enterprise_paths import PATHS
from tests.contract.conftest import Start
from tests.contract.pairing import load, misfits, replay

PAIRS = load("enterprise")


def _settings(pair: dict[str, Any]) -> dict[str, Any]:
    lists = {
        name: tuple(value) if isinstance(value, list) else value for name, value in pair.get("settings", {}).items()
    }
    return {"model_aliases": ("midjourney=demo",), **lists}


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["name"] for pair in PAIRS])
async def test_the_documented_answer(start: Start, pair: dict[str, Any]) -> None:
    async with start(**_settings(pair)) as mesh:
        await replay(mesh, pair, pair.get("status", 200))


STRICT = [pair for pair in PAIRS if "strict" in pair]


@pytest.mark.parametrize("pair", STRICT, ids=[pair["name"] for pair in STRICT])
async def test_the_same_body_with_a_status_that_tells(start: Start, pair: dict[str, Any]) -> None:
    async with start(**_settings(pair), enterprise_status="strict") as mesh:
        await replay(mesh, pair, pair["strict"])


def test_every_path_has_its_pair() -> None:
    replayed = {path.partition("/{")[0] for pair in PAIRS for path in pair["paths"]}
    assert not {path for paths in PATHS.values() for path in paths} - replayed


def test_what_does_not_fit_is_named() -> None:
    assert misfits({"a": 1, "b": "$int"}, {"a": 1, "b": 2}) == []
    assert misfits({"a": 1}, {"a": True}) == ["answer.a is True, not 1"]
    assert misfits({"a": 1.0}, {"a": 1}) == ["answer.a is 1, not 1.0"]
    assert misfits({"a": "$int"}, {"b": 1}) == ["answer has 'b'", "answer lacks 'a'"]
    assert misfits(["$text"], [""]) == ["answer[0] is no $text: ''"]
