"""Run awaitables concurrently and fail as one."""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def together(awaitables: Iterable[Awaitable[A]]) -> list[A]:
    """Await all concurrently; the first failure cancels the others and is raised as it is, not in a group."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def both(first: Awaitable[A], second: Awaitable[B]) -> tuple[A, B]:
    """Like `together`, for two awaitables of different types."""
    one, other = asyncio.ensure_future(first), asyncio.ensure_future(second)
    await together((one, other))
    return one.result(), other.result()
