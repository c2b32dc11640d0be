"""The documented requests and answers of every dialect, replayed against the running mesh with the demo model.

A pair that needs settings of its own, or a server that nobody else has used, is sent to a gateway of this process over
the mesh's rooms; all others go through the mesh's edge.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from local.supervision import LocalMesh
from tests.contract.conftest import serving
from tests.rigs.mesh import served
from tests.rigs.pairs import PNG, Pair, load
from tests.rigs.replaying import ALONE, away, replay, settings_of

PAIRS = [pair for pair in load() if "only_fakes" not in pair]
# The enterprise vendor's samples ask for more than a test has time for. Other dialects' pairs are small where they may
# be, and large where nothing is to be finished.
SENT, TOLD = ("width", "height", "num_inference_steps", "samples"), ("W", "H", "steps")
QUICK, LONG = (128, 128, 4, 1), (512, 512, 50, 1)


def sized(value: Any, numbers: dict[str, int]) -> Any:
    """`value` with these numbers where it has some, text where it has text."""
    if isinstance(value, list):
        return [sized(one, numbers) for one in value]
    if not isinstance(value, dict):
        return value
    fitting = {name for name, one in value.items() if name in numbers and isinstance(one, int | float | str)}
    return {name: type(one)(numbers[name]) if name in fitting else sized(one, numbers) for name, one in value.items()}


def of_demo_size(pair: Pair) -> Pair:
    if pair["dialect"] != "enterprise":
        return pair
    size = LONG if pair.get("rooms") == "slow" else QUICK
    sent, told = dict(zip(SENT, size, strict=True)), dict(zip(TOLD, size[:3], strict=True))
    if isinstance(pair.get("send"), dict) and "width" not in pair["send"]:
        # Its size follows from something else.
        told = {"steps": told["steps"]}
    return {name: sized(value, told if name in ("answer", "webhook") else sent) for name, value in pair.items()}


@asynccontextmanager
async def gateway(mesh: LocalMesh, pair: Pair) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the gateway that the pair is sent to."""
    if not pair.keys() & ALONE:
        # Metrics are not at the edge.
        behind = f"http://{mesh.settings.gateway_address}"
        async with aiohttp.ClientSession(behind if pair["paths"] == ["/metrics"] else mesh.url) as http:
            yield http
        return
    with away() as nowhere:
        address = nowhere if pair.get("rooms") == "away" else mesh.settings.mesh_address
        async with serving(None, mesh_address=address, **settings_of(pair)) as own:
            yield own.http


@pytest.fixture(scope="module")
def picture_url() -> Iterator[str]:
    with served({"picture.png": PNG}) as pictures:
        yield f"{pictures}/picture.png"


@pytest.mark.parametrize("pair", PAIRS, ids=[f"{pair['dialect']} {pair['name']}" for pair in PAIRS])
async def test_the_documented_answer(mesh: LocalMesh, picture_url: str, pair: Pair) -> None:
    async with gateway(mesh, pair) as http:
        for path in pair["paths"]:
            await replay(http, of_demo_size(pair), path, pair.get("status", 200), picture_url)
