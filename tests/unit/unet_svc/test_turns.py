"""Owners whose pictures are made get steps alike; an owner that is alone waits for nobody."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from controlmesh.v1 import types_pb2, unet_pb2
from mesh.shared_memory import Held
from mesh.tensors import to_message
from tests.rigs.unet_tasks import CONFIGS, make_facts, make_task
from unet_svc.denoiser import Denoiser
from unet_svc.task import read_task
from unet_svc.turns import Turns

A_LONG_TIME = 20


class Server:
    """In the place of Triton: computes all that it was sent in one batch, when it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, asyncio.Future[None]]] = []
        self.done: Counter[str] = Counter()
        self.largest = 0

    async def hold(self, tensors: Any) -> Held:
        return Held.inline(tensors)

    async def infer(self, model: str, inputs: Any, outputs: Any, held: Held) -> dict[str, Any]:
        # Nobody tells the server whose step it is: these have it in their latents.
        owner, computed = chr(int(inputs["sample"].flat[0])), asyncio.get_running_loop().create_future()
        self.sent.append((owner, computed))
        await computed
        self.done[owner] += 1
        return {"prediction": inputs["sample"]}

    async def compute(self) -> int:
        """Compute a batch; its size."""
        batch, self.sent = self.sent, []
        self.largest = max(self.largest, len(batch))
        for _, computed in batch:
            if not computed.done():
                computed.set_result(None)
        await _settled()
        return len(batch)


async def _settled() -> None:
    for _ in range(A_LONG_TIME):
        await asyncio.sleep(0)


class Site:
    """Owners whose pictures are made without end."""

    def __init__(self, an_owner: int) -> None:
        self.server = Server()
        self.denoiser = Denoiser(self.server, Turns(an_owner))  # type: ignore[arg-type]
        self.tasks: dict[str, list[asyncio.Task[None]]] = {}

    async def begin(self, loops: Mapping[str, int]) -> None:
        for owner, count in loops.items():
            made = [asyncio.create_task(self._loop(owner)) for _ in range(count)]
            self.tasks.setdefault(owner, []).extend(made)
        await _settled()

    async def end(self, *owners: str) -> None:
        ended = [task for owner in owners for task in self.tasks.pop(owner)]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        await _settled()

    async def _loop(self, owner: str) -> None:
        latents = np.full((1, 4, 8, 12), ord(owner), np.float32)
        async with self.denoiser.open(make_task(CONFIGS["v"], "DDIMScheduler", owner=owner)) as predict:
            while True:
                await predict(latents, 500.0, 0, 10)


@pytest.mark.parametrize(
    "loops",
    [
        {"a": 12, "b": 1},
        {"a": 12, "b": 4},
        {"a": 15, "b": 1, "c": 1},
        {"a": 12, "b": 3, "c": 1},
        {"a": 5, "b": 5, "c": 5, "d": 1},
        {"a": 9, "b": 1, "c": 1, "d": 1, "e": 1},
    ],
)
@pytest.mark.parametrize("an_owner", [1, 2])
async def test_nobody_gets_less_than_half_of_its_share(loops: dict[str, int], an_owner: int) -> None:
    site = Site(an_owner)
    # Who has most was there first.
    for owner, count in loops.items():
        await site.begin({owner: count})
    for _ in range(3):
        await site.server.compute()
    before, site.server.largest = Counter(site.server.done), 0
    batches = 60
    for _ in range(batches):
        await site.server.compute()
    got = {owner: site.server.done[owner] - before[owner] for owner in loops}
    everything = sum(got.values())
    # The server's work is the rows of its batches.
    assert all(count >= everything / len(loops) / 2 for count in got.values()), got
    # A picture's next step begins at once: a single one gets a step in each batch.
    assert all(got[owner] >= batches for owner in loops), got
    assert site.server.largest <= an_owner * len(loops)
    # What one owner does not use, others do.
    assert everything == batches * min(an_owner * len(loops), sum(loops.values()))
    await site.end(*loops)


async def test_an_owner_that_is_alone_has_all_of_its_steps_computed_together() -> None:
    site = Site(2)
    await site.begin({"a": 12})
    assert await site.server.compute() == 12
    # The steps that were sent before anybody else came are computed, and whoever comes does not wait for them.
    await site.begin({"b": 1})
    assert await site.server.compute() == 13
    assert await site.server.compute() == 4
    await site.end("b")
    await site.server.compute()
    assert await site.server.compute() == 12
    await site.end("a")


async def test_whoever_leaves_while_waiting_keeps_no_turn() -> None:
    site = Site(1)
    await site.begin({"a": 6, "b": 6})
    assert await site.server.compute() == 6 + 1
    assert await site.server.compute() == 2
    assert site.denoiser.turns.waiting == 10
    await site.end("a")
    assert site.denoiser.turns.held.keys() == {"b"} and site.denoiser.turns.waiting == 0
    await site.end("b")
    assert not site.denoiser.turns.held


def test_whose_picture_it_is_stands_in_the_request() -> None:
    text = to_message(np.zeros((2, 77, 8), np.float32))
    conditioning = types_pb2.Conditioning(model="x", text=text, width=96, height=64)
    request = unet_pb2.DenoiseRequest(conditioning=conditioning, steps=6, guidance_scale=7.5, owner="somebody")
    assert read_task(request, make_facts(CONFIGS["v"])).owner == "somebody"
