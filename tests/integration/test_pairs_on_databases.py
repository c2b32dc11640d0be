"""The documented requests and answers, replayed where jobs and deliveries are durable, as deployments have them.

The contract suite replays all pairs with workflows of one process; here are those that need no gateway of their own,
those of webhooks and those of slow rooms.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.conftest import Running, running
from tests.rigs.jobs import DURABLE
from tests.rigs.mesh import served
from tests.rigs.pairs import PNG, Pair, load
from tests.rigs.postgres import Server, postgres
from tests.rigs.replaying import ALONE, replay, settings_of

PAIRS = [pair for pair in load() if "only_mesh" not in pair]
DIALECTS = sorted({pair["dialect"] for pair in PAIRS})


def pairs_of(dialect: str, needs: frozenset[str]) -> list[Pair]:
    """The pairs of a dialect that need that of a gateway of their own, and nothing else."""
    return [pair for pair in PAIRS if pair["dialect"] == dialect and pair.keys() & ALONE == needs]


SLOW = [pair for name in DIALECTS for pair in pairs_of(name, frozenset({"rooms"})) if pair["rooms"] == "slow"]


@pytest.fixture(scope="module")
def picture_url() -> Iterator[str]:
    with served({"picture.png": PNG}) as pictures:
        yield f"{pictures}/picture.png"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture(params=DURABLE)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("server").new_database())
    return f"sqlite:///{tmp_path}/records.db"


@asynccontextmanager
async def gateway(url: str, pair: Pair) -> AsyncIterator[Running]:
    """A gateway over these records, with the settings of a pair."""
    async with running(**settings_of(pair), database_url=url) as mesh:
        if pair.get("rooms") == "slow":
            mesh.rooms.pace.clear()
        yield mesh


async def misfits(mesh: Running, pairs: Sequence[Pair], picture_url: str) -> dict[tuple[str, str], str]:
    """What did not fit, by the pair's name and path."""
    wrong = {}
    for pair in pairs:
        for path in pair["paths"]:
            try:
                await replay(mesh.http, pair, path, pair.get("status", 200), picture_url)
            except AssertionError as error:
                wrong[pair["name"], path] = str(error)
    return wrong


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_documented_answers(url: str, dialect: str, picture_url: str) -> None:
    pairs = pairs_of(dialect, frozenset())
    assert pairs
    async with gateway(url, {}) as mesh:
        assert await misfits(mesh, pairs, picture_url) == {}


@pytest.mark.parametrize("dialect", ["enterprise", "native", "scenario"])
async def test_the_documented_webhooks(url: str, dialect: str, picture_url: str) -> None:
    pairs = pairs_of(dialect, frozenset({"webhook"}))
    assert pairs
    async with gateway(url, pairs[0]) as mesh:
        assert await misfits(mesh, pairs, picture_url) == {}


@pytest.mark.parametrize("pair", SLOW, ids=lambda pair: f"{pair['dialect']} {pair['name']}")
async def test_the_documented_answers_of_slow_rooms(tmp_path: Path, pair: Pair, picture_url: str) -> None:
    async with gateway(f"sqlite:///{tmp_path}/records.db", pair) as mesh:
        assert await misfits(mesh, [pair], picture_url) == {}
