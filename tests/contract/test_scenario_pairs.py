"""The Scenario dialect: every row of its contract, asked for and compared key by key, type by type."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.contract.conftest import Running, Start
from tests.contract.scenario_client import CONTENT, DATA_URL, POLLED, ask, data_url, ended, grey, shaped, submit
from tests.contract.scenario_pairs import GENERATION_PAIRS, Pair, at, filled
from tests.contract.scenario_record_pairs import RECORD_PAIRS

PAIRS = {**GENERATION_PAIRS, **RECORD_PAIRS}


@asynccontextmanager
async def pictures() -> AsyncIterator[str]:
    """A picture's host:port."""

    async def picture(_: web.BaseRequest) -> web.Response:
        return web.Response(body=CONTENT, content_type="image/png")

    runner = web.ServerRunner(web.Server(picture))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def prepared(mesh: Running, pair: Pair, address: str) -> dict[str, str]:
    """What the row's words in braces stand for."""
    known = {
        "picture": DATA_URL,
        "control": data_url(grey(20)),
        "mask": data_url(grey(255)),
        "url": f"http://{address}/picture.png",
    }
    if pair.needs("asset"):
        sent = {"name": "kept.png", "image": data_url(grey(9))}
        known["asset"] = (await ask(mesh, "POST", "/v1/assets", sent))["asset"]["id"]
    if pair.needs("job", "result"):
        job = (await ended(mesh, await submit(mesh)))["job"]
        known |= {"job": job["jobId"], "result": job["metadata"]["assetIds"][0]}
    if pair.needs("upload"):
        known["upload"] = await uploaded(mesh)
    return known


async def uploaded(mesh: Running) -> str:
    """Id of an upload whose parts were sent."""
    half = len(CONTENT) // 2
    announced = {"fileName": "a.png", "fileSize": len(CONTENT), "contentType": "image/png", "parts": 2}
    upload = (await ask(mesh, "POST", "/v1/uploads", {"kind": "image", **announced}))["upload"]
    for part, content in zip(upload["parts"], (CONTENT[:half], CONTENT[half:]), strict=True):
        async with mesh.http.put(part["url"], data=content) as response:
            assert response.ok
    return str(upload["id"])


@pytest.mark.parametrize("name", PAIRS)
async def test_a_row_of_the_contract(start: Start, name: str) -> None:
    pair = PAIRS[name]
    async with pictures() as address, start(fetch_allow=(address,)) as mesh:
        known = await prepared(mesh, pair, address)
        body = await ask(mesh, pair.method, filled(pair.path, known), filled(pair.body, known), pair.status)
        shaped(body, pair.shape)
        for way, value in filled(pair.says, known).items():
            assert at(body, way) == value, way
        if pair.ends is not None:
            done = await ended(mesh, body)
            shaped(done, POLLED)
            assert len(done["job"]["metadata"]["assetIds"]) == done["job"]["metadata"]["input"].get("numSamples", 1)
            for way, value in filled(pair.ends, known).items():
                assert at(done, way) == value, way
