"""Admission control: a limit on work that runs, a limit on work that waits, and a clear refusal beyond both."""

import asyncio
from types import TracebackType

from mesh.errors import Overloaded


class Admission:
    """Limits how many pieces of work run and wait at once; an async context manager around each.

    Args:
        running: pieces that may run at once.
        waiting: pieces that may wait for their turn.
        what: noun for the error message, such as "denoising loops".
    """

    def __init__(self, running: int, waiting: int, what: str) -> None:
        self._places = asyncio.Semaphore(running)
        self._bound = running + waiting
        self._inside = 0
        self._what = what

    @property
    def inside(self) -> int:
        """Pieces that run or wait."""
        return self._inside

    async def __aenter__(self) -> None:
        """Wait until there is capacity. Raises Overloaded if too many are waiting already."""
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
