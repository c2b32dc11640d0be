"""What a request leaves behind in a process: file descriptors, asyncio's tasks, bytes."""

import asyncio
import gc
import tracemalloc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psutil

SETTLE_S = 30.0


@dataclass(frozen=True)
class Left:
    """What is there, or what a request has added to it on average."""

    descriptors: float
    tasks: float
    bytes: float

    def grown(self, before: "Left", requests: int) -> "Left":
        """What each of so many requests has added since."""
        return Left(
            (self.descriptors - before.descriptors) / requests,
            (self.tasks - before.tasks) / requests,
            (self.bytes - before.bytes) / requests,
        )


def left() -> Left:
    """What this process holds now; tracemalloc must have been started."""
    gc.collect()
    return Left(psutil.Process().num_fds(), len(asyncio.all_tasks()), tracemalloc.get_traced_memory()[0])


async def left_by(
    ask: Callable[[int], Awaitable[None]], warm: int, measured: int, idle: Callable[[], Awaitable[bool]]
) -> Left:
    """What each of `measured` requests leaves, after `warm` ones, which fill caches and pools.

    Args:
        ask: makes request number n, to its end.
        warm, measured: how many.
        idle: whether everything that a request began has ended.
    """
    tracemalloc.start(1)
    try:
        for number in range(warm):
            await ask(number)
        await _quiet(idle)
        before = left()
        for number in range(warm, warm + measured):
            await ask(number)
        await _quiet(idle)
        return left().grown(before, measured)
    finally:
        tracemalloc.stop()


async def _quiet(idle: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is idle, and as many tasks are left as a moment before."""
    async with asyncio.timeout(SETTLE_S):
        tasks = -1
        while not await idle() or tasks != len(asyncio.all_tasks()):
            tasks = len(asyncio.all_tasks())
            # What has ended is closed in the loop's next rounds; nothing says when that is over.
            await asyncio.sleep(0.05)
