"""How long an owner's single picture takes while another owner's pictures are made: in a whole mesh, with its steps."""

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.asking import PROMPT, SETTINGS
from benchmarks.mesh import running
from controlmesh_client import AsyncClient, ControlMeshError

CALLERS = 24
AN_OWNER = (1, 2, 8, 1000)
"""Values of CN_UNET_STEPS_AN_OWNER; with the last one nobody waits for a turn."""
HEAD = (
    "CN_UNET_STEPS_AN_OWNER",
    "alone, s",
    "beside the flood, p50, s",
    "worst, s",
    "p50 over alone",
    "worst over alone",
    "the flood's pictures a second, alone",
    "beside the other",
)
TEXT = f"""
## Pictures that are made at the same time

A whole mesh with the demo model, one thread a process. One owner floods with {CALLERS} callers who wait for their
pictures; the other makes one picture after another. Its even share is half of the processor, which is twice the time
that it takes alone; half of its share is four times (the columns "over alone"). "1000" is without turns. All pictures
have one size: steps are counted, whatever they cost, so beside larger pictures of another owner it takes longer.

"""
_KEYS = {"flood": "cm_" + 43 * "f", "other": "cm_" + 43 * "o"}


async def _flood(client: AsyncClient, made: list[float]) -> None:
    while True:
        try:
            await client.generate(PROMPT, seed=1, timeout_s=120, **SETTINGS)
            made.append(time.monotonic())
        except ControlMeshError:
            await asyncio.sleep(0.05)


async def _singles(client: AsyncClient, count: int) -> list[float]:
    took = []
    for seed in range(count):
        began = time.monotonic()
        await client.generate(PROMPT, seed=seed, timeout_s=120, **SETTINGS)
        took.append(time.monotonic() - began)
    return took


async def _measured(url: str, an_owner: int, singles: int) -> tuple[str, ...]:
    async with AsyncClient(url, key=_KEYS["flood"]) as many, AsyncClient(url, key=_KEYS["other"]) as one:
        await _singles(one, 2)
        alone = statistics.median(await _singles(one, singles))
        made: list[float] = []
        callers = [asyncio.create_task(_flood(many, made)) for _ in range(CALLERS)]
        await asyncio.sleep(4)
        rates = []
        waits: list[float] = []
        for work in (asyncio.sleep(8), _singles(one, singles)):
            before, began = len(made), time.monotonic()
            waits = await work or waits
            rates.append((len(made) - before) / (time.monotonic() - began))
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    middle, worst = statistics.median(waits), max(waits)
    figures = alone, middle, worst, middle / alone, worst / alone, *rates
    return str(an_owner), *(f"{figure:.2f}" for figure in figures)


def table(singles: int) -> list[tuple[str, ...]]:
    """All rows, each of a mesh of its own."""
    os.environ["CN_GATEWAY_API_KEYS"] = ",".join(_KEYS.values())
    rows = []
    for an_owner in AN_OWNER:
        os.environ["CN_UNET_STEPS_AN_OWNER"] = str(an_owner)
        with tempfile.TemporaryDirectory() as scratch, running(Path("model_repository"), Path(scratch)) as mesh:
            rows.append(asyncio.run(_measured(mesh.url, an_owner, singles)))
    return rows
