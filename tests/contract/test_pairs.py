"""The vendors' documented requests and answers, and our own, replayed; key by key and type by type."""

from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

from tests.contract.conftest import Running, Start, running
from tests.rigs.mesh import served
from tests.rigs.pairs import PNG, Pair, load, misfits
from tests.rigs.replaying import ALONE, away, replay, settings_of

PAIRS = [pair for pair in load() if "only_mesh" not in pair]
# Each with the way of the gateway to say that something is wrong in the enterprise dialect, and the status for that.
CASES = [(pair, "legacy", pair.get("status", 200)) for pair in PAIRS]
CASES += [(pair, "strict", pair["strict"]) for pair in PAIRS if "strict" in pair]


@pytest.fixture(scope="module")
def picture_url() -> Iterator[str]:
    with served({"picture.png": PNG}) as pictures:
        yield f"{pictures}/picture.png"


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Mapping[str, Running]]:
    """Gateways for all pairs that need none of their own, by their ways."""
    settings = settings_of({})
    async with running(**settings) as legacy, running(**settings, enterprise_status="strict") as strict:
        yield {"legacy": legacy, "strict": strict}


@pytest.mark.parametrize(
    ("pair", "way", "status"),
    [pytest.param(*case, id=f"{case[0]['dialect']} {case[0]['name']} {case[1]}") for case in CASES],
)
async def test_the_documented_answer(
    start: Start, shared: Mapping[str, Running], picture_url: str, pair: Pair, way: str, status: int
) -> None:
    if not pair.keys() & ALONE:
        for path in pair["paths"]:
            await replay(shared[way].http, pair, path, status, picture_url)
        return
    with away() as nowhere:
        elsewhere = {"mesh_address": nowhere} if pair.get("rooms") == "away" else {}
        async with start(**settings_of(pair), enterprise_status=way, **elsewhere) as mesh:
            if pair.get("rooms") == "slow":
                mesh.rooms.pace.clear()
            for path in pair["paths"]:
                await replay(mesh.http, pair, path, status, picture_url)


def test_what_does_not_fit_is_named() -> None:
    assert misfits({"a": 1, "b": "$int"}, {"a": 1, "b": 2}) == []
    assert misfits({"a": 1}, {"a": True}) == ["answer.a is True, not 1"]
    assert misfits({"a": 1.0}, {"a": 1}) == ["answer.a is 1, not 1.0"]
    assert misfits({"a": "$int"}, {"b": 1}) == ["answer has 'b'", "answer lacks 'a'"]
    assert misfits({"a?": "$int"}, {"a": ""}) == ["answer.a is no $int: ''"]
    assert misfits({"a?": "$int"}, {}) == []
    assert misfits(["$text"], [""]) == ["answer[0] is no $text: ''"]
    assert misfits({"$every": "$int"}, [1, "2"]) == ["answer[1] is no $int: '2'"]
    assert misfits({"$every": "$int"}, []) == ["answer is no list with something in it: []"]
    assert misfits({"$some": "$int"}, ["2"]) == ["answer has nothing like '$int': ['2']"]
    assert misfits({"$matches": "a+"}, "ab") == ["answer is no 'a+': 'ab'"]
    assert misfits({"$any_of": [1, 2]}, 3) == ["answer is none of [1, 2]: 3"]
