"""A request leaves nothing behind in the gateway's process: no file descriptor, no task, next to no memory."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from benchmarks.soak_report import Series, slope_a_minute, verdict
from tests.contract.conftest import Running, running
from tests.rigs.enterprise_client import PATH as ENTERPRISE
from tests.rigs.enterprise_client import PICTURE, SAMPLE
from tests.rigs.huggingface_client import PAYLOAD, PNG
from tests.rigs.leaks import Left, left_by
from tests.rigs.scenario_client import BODY, GENERATE

NATIVE = "/controlmesh/v1/generations"
CONTROL = {"kind": "canny", "image": PICTURE}
SMALL = {**SAMPLE, "model_id": "demo", "width": "64", "height": "64", "num_inference_steps": "2"}
REQUESTS: tuple[tuple[str, str, Any, dict[str, str]], ...] = (
    ("POST", f"{NATIVE}?wait=60", {"prompt": "a boat", "controls": [CONTROL], "steps": 2}, {}),
    ("POST", f"{NATIVE}?wait=0", {"prompt": "a boat", "steps": 2}, {}),
    ("POST", "/controlmesh/v1/hints", CONTROL, {}),
    ("POST", ENTERPRISE, SMALL, {}),
    ("POST", f"{GENERATE}/controlnet", BODY, {}),
    ("POST", "/", {**PAYLOAD, "num_inference_steps": 2}, PNG),
    ("POST", NATIVE, {"prompt": "a boat", "steps": -1}, {}),
    ("POST", ENTERPRISE, {**SMALL, "init_image": "no picture"}, {}),
    ("GET", f"{NATIVE}?limit=5", None, {}),
)
WARM, MEASURED = 2 * len(REQUESTS), 4 * len(REQUESTS)
MOST = Left(descriptors=0.05, tasks=0.05, bytes=4096)
"""That a request may leave on average. Bytes: counters and caches that are still filling, not one picture in ten."""


@pytest.fixture(scope="module")
async def mesh() -> AsyncIterator[Running]:
    async with running(default_model="demo") as served:
        yield served


async def measured(mesh: Running, leak: Callable[[], Any] = lambda: None) -> Left:
    """What a request of the mix leaves; `leak` is called with each."""

    async def ask(number: int) -> None:
        method, path, body, headers = REQUESTS[number % len(REQUESTS)]
        async with mesh.http.request(method, path, json=body, headers=headers) as reply:
            await reply.read()
            assert reply.status < 500
        leak()
        # What the rooms in small remember of it is no leak of the gateway's.
        seen = mesh.rooms.seen
        for remembered in (seen.prepared, seen.encoded, seen.denoised, seen.decoded, seen.extracted, seen.metadata):
            remembered.clear()

    async def idle() -> bool:
        return await mesh.gateway.jobs.load() == (0, 0)

    return await left_by(ask, WARM, MEASURED, idle)


async def test_a_request_leaves_nothing(mesh: Running) -> None:
    found = await measured(mesh)
    assert found.descriptors <= MOST.descriptors and found.tasks <= MOST.tasks and found.bytes <= MOST.bytes, found


async def test_leaks_are_seen(mesh: Running) -> None:
    descriptors: list[int] = []
    tasks: list[asyncio.Task[Any]] = []
    kept: list[bytearray] = []

    def leak() -> None:
        descriptors.append(os.open(os.devnull, os.O_RDONLY))
        tasks.append(asyncio.create_task(asyncio.Event().wait()))
        kept.append(bytearray(8192))

    try:
        found = await measured(mesh, leak)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        for task in tasks:
            task.cancel()
    assert found.descriptors > MOST.descriptors and found.tasks > MOST.tasks and found.bytes > MOST.bytes, found


def test_a_slope_is_that_of_the_line_through_what_was_measured() -> None:
    assert slope_a_minute([(60.0 * n, 5.0 + 3.0 * n) for n in range(10)]) == pytest.approx(3.0)
    assert slope_a_minute([(0.0, 1.0), (60.0, 9.0), (120.0, 1.0)]) == pytest.approx(0.0)
    assert slope_a_minute([(0.0, 1.0)]) == 0.0


def test_what_grows_faster_than_its_limit_is_named() -> None:
    grows = Series("gateway", "memory, MB", [(60.0 * n, 100.0 + 2.0 * n) for n in range(10)], limit=1.0)
    stays = Series("gateway", "file descriptors", [(60.0 * n, 40.0) for n in range(10)], limit=0.5)
    assert verdict([grows, stays]) == ["gateway: memory, MB grew by 2.00 a minute; the limit is 1"]
