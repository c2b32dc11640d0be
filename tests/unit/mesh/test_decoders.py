"""Processes that decode: limits of time, memory and pixels; callers that leave; processes and services that die."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from mesh import pictures
from mesh.decoders import Decoders, DecoderSettings
from mesh.errors import InvalidInput, Overloaded, Unavailable
from mesh.pixel_budget import PixelBudget
from mesh.settings import SettingsError, read
from tests.rigs import decoder_work as work
from tests.rigs.mesh import ROOT

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
CONTENT = pictures.encode(PICTURE)
MODULES = ("mesh.pictures", "preprocess_svc.fitting", "preprocess_svc.extraction.ready", "tests.rigs.decoder_work")


@pytest.fixture(scope="module")
async def decoders() -> AsyncIterator[Decoders]:
    decoders = Decoders(DecoderSettings(decode_s=1.0, decode_mib=256), MODULES)
    await decoders.start()
    yield decoders
    await decoders.close()


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """A pipe into which a process writes its id when it begins."""
    path = tmp_path / "started"
    os.mkfifo(path)
    return path


async def begun(started: Path) -> int:
    return int(await asyncio.to_thread(started.read_text))


async def gone(*pids: int, within_s: float = 30) -> None:
    """Wait until the processes have ended."""
    there = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    _, alive = await asyncio.to_thread(psutil.wait_procs, there, within_s)
    assert not alive


async def test_the_picture_is_that_of_this_process_and_was_decoded_in_another(decoders: Decoders) -> None:
    found = await decoders.run(pictures.decode, CONTENT, "image")
    np.testing.assert_array_equal(found, PICTURE)
    found[0, 0] = 0
    assert await decoders.run(work.whose, CONTENT, "image") != os.getpid()


async def test_arrays_travel_beside_what_holds_them(decoders: Decoders) -> None:
    few, between, many = await decoders.run(work.arrays, CONTENT, "image")
    assert (few.tolist(), between) == ([0, 1, 2, 3, 4], "between")
    np.testing.assert_array_equal(many.ravel(), np.arange(1_000_000, dtype=np.float32))


def test_processes_hold_codecs_and_nothing_of_models_or_servers(tmp_path: Path) -> None:
    """In a program of its own: the server that processes are forked from is one for all pools of a program."""
    (tmp_path / "picture.png").write_bytes(CONTENT)
    command = [sys.executable, "-m", "tests.rigs.decoder_work", str(tmp_path / "picture.png"), *MODULES]
    loaded = set(json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60).stdout))
    assert {"PIL", "cv2", "numpy"} <= loaded
    assert not loaded & {"torch", "onnxruntime", "tokenizers", "tritonclient", "fastapi", "scipy", "pytest"}


async def test_what_takes_too_long_is_ended_with_its_process(decoders: Decoders, started: Path) -> None:
    asked = asyncio.create_task(decoders.run(work.endless, CONTENT, "controls[0].image", str(started)))
    pid = await begun(started)
    with pytest.raises(InvalidInput, match=r"controls\[0\]\.image takes more than 1 seconds"):
        await asked
    await gone(pid)
    assert (await decoders.run(pictures.decode, CONTENT, "image")).shape == (40, 56, 3)


async def test_a_caller_who_leaves_ends_the_process(decoders: Decoders, started: Path) -> None:
    asked = asyncio.create_task(decoders.run(work.endless, CONTENT, "image", str(started)))
    pid = await begun(started)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await gone(pid)


async def test_memory_is_bounded(decoders: Decoders) -> None:
    assert await decoders.run(work.allocates, CONTENT, "image", 64 << 20) == 64 << 20
    with pytest.raises(InvalidInput, match="image takes more memory"):
        await decoders.run(work.allocates, CONTENT, "image", 512 << 20)


async def test_a_picture_that_ends_its_process_twice_is_refused(decoders: Decoders, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot decode the picture in mask"):
        await decoders.run(work.dies, CONTENT, "mask")
    assert await decoders.run(work.dies_once, CONTENT, "mask", str(tmp_path / "died")) == "second"


async def test_processes_that_are_killed_are_replaced(decoders: Decoders) -> None:
    for _ in range(3):
        os.kill(await decoders.run(work.whose, CONTENT, "image"), signal.SIGKILL)
        assert (await decoders.run(pictures.decode, CONTENT, "image")).shape == (40, 56, 3)


async def test_a_bad_container_reaches_no_process(decoders: Decoders) -> None:
    with pytest.raises(InvalidInput, match="cannot identify image file in mask"):
        await decoders.run(work.endless, b"GIF89a", "mask")


async def test_the_first_who_asked_is_the_first_served() -> None:
    budget, order = PixelBudget(100, 4, 8), []
    await budget.take(80)

    async def asks(name: str, pixels: int) -> None:
        await budget.take(pixels)
        order.append(name)

    # The small one would fit, but must not overtake the large one for ever.
    waiting = [asyncio.create_task(asks("large", 90))]
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(asks("small", 10)))
    await asyncio.sleep(0)
    assert order == []
    budget.give(80)
    await asyncio.gather(*waiting)
    assert order == ["large", "small"]


async def test_large_pictures_leave_a_place_to_small_ones() -> None:
    budget = PixelBudget(100, 2, 8)
    await budget.take(40)
    large = asyncio.create_task(budget.take(40))
    await asyncio.sleep(0)
    for _ in range(3):
        await budget.take(5)
        budget.give(5)
    assert not large.done()
    small = asyncio.create_task(budget.take(5))
    await asyncio.sleep(0)
    assert small.done()
    budget.give(40)
    await large


async def test_beyond_what_may_wait_is_refused_and_who_leaves_makes_room() -> None:
    budget = PixelBudget(100, 1, 1)
    await budget.take(10)
    waits = asyncio.create_task(budget.take(10))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="wait to be decoded") as caught:
        await budget.take(10)
    assert caught.value.retry_after_s
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)
    last = asyncio.create_task(budget.take(100))
    await asyncio.sleep(0)
    budget.give(10)
    await last
    # One leaves at the very moment at which places are given out.
    leaves = asyncio.create_task(budget.take(10))
    await asyncio.sleep(0)
    leaves.cancel()
    budget.give(100)
    with pytest.raises(asyncio.CancelledError):
        await leaves
    await budget.take(100)


async def test_at_most_so_many_pictures_are_decoded_at_once(tmp_path: Path) -> None:
    decoders = Decoders(DecoderSettings(decoders=1, decode_waiting=1), MODULES)
    released = tmp_path / "released"
    first = asyncio.create_task(decoders.run(work.waits, CONTENT, "image", str(released)))
    await asyncio.sleep(0)
    second = asyncio.create_task(decoders.run(work.waits, CONTENT, "image", str(released)))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await decoders.run(work.waits, CONTENT, "image", str(released))
    released.touch()
    assert await first <= await second
    await decoders.close()
    with pytest.raises(Unavailable):
        await decoders.run(pictures.decode, CONTENT, "image")


@pytest.mark.parametrize(
    "name", ["CN_DECODERS", "CN_DECODE_S", "CN_DECODE_MIB", "CN_DECODE_PIXELS", "CN_DECODE_WAITING"]
)
def test_limits_under_which_nothing_could_be_decoded_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read(DecoderSettings, {name: "-1"})


_SERVICE = """
import asyncio, sys
from mesh import pictures
from mesh.decoders import Decoders, DecoderSettings
from tests.rigs import decoder_work as work

async def main(started):
    decoders = Decoders(DecoderSettings(decode_s=1.0), ("tests.rigs.decoder_work",))
    await decoders.start()
    content = sys.stdin.buffer.read()
    await decoders.run(work.endless, content, "image", started)

asyncio.run(main(sys.argv[1]))
"""


async def test_nothing_is_left_of_a_service_that_is_killed(started: Path) -> None:
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SERVICE, str(started), cwd=ROOT, stdin=asyncio.subprocess.PIPE
    )
    try:
        assert service.stdin
        service.stdin.write(CONTENT)
        service.stdin.close()
        pid = await begun(started)
        family = [one.pid for one in psutil.Process(service.pid).children(recursive=True)]
        assert pid in family and len(family) > 2
        semaphores = {found for one in family for found in named_semaphores(one)}
    finally:
        service.kill()
    await service.wait()
    # The one that decodes ends itself soon after its limit, the others at once.
    await gone(*family)
    assert semaphores and not any(path.exists() for path in semaphores)


def named_semaphores(pid: int) -> set[Path]:
    """Files of the semaphores that a process has mapped."""
    return {Path(one.path) for one in psutil.Process(pid).memory_maps() if "/dev/shm/sem." in one.path}
