"""Bounded admission: so many at work, so many waiting, and a clear refusal beyond."""

import asyncio
from types import TracebackType

from mesh.errors import Overloaded


class Admission:
    """An async context manager around one piece of work.

    Args:
        running: pieces of work at once.
        waiting: pieces that may wait for a place.
        what: noun for the refusal, such as "denoising loops".
    """

    def __init__(self, running: int, waiting: int, what: str) -> None:
        self._places = asyncio.Semaphore(running)
        self._bound = running + waiting
        self._inside = 0
        self._what = what

    @property
    def inside(self) -> int:
        """Pieces at work or waiting."""
        return self._inside

    async def __aenter__(self) -> None:
        """Wait for a place. Raises Overloaded when too many wait already."""
        if self._inside >= self._bound:
            raise Overloaded(f"{self._inside} {self._what} are running or waiting; try again shortly", retry_after_s=2)
        self._inside += 1
        try:
            await self._places.acquire()
        except BaseException:
            self._inside -= 1
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside -= 1
        self._places.release()
