"""A first-come, first-served semaphore."""

import asyncio
from collections import deque


class Places:
    """Places for pictures in the mesh, given first come, first served: small requests do not overtake a large one.

    Args:
        places: their number; no caller may acquire more at once.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """The number of callers that wait for places."""
        return len(self._queue)

    async def acquire(self, places: int) -> None:
        """Wait for this caller's turn and for `places` free places."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((places, turn))
        self._call()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(places)
            else:
                self._queue = deque(entry for entry in self._queue if entry[1] is not turn)
                self._call()
            raise

    def release(self, places: int) -> None:
        """Release `places`."""
        self._free += places
        self._call()

    def _call(self) -> None:
        while self._queue and self._queue[0][0] <= self._free:
            places, turn = self._queue.popleft()
            if not turn.cancelled():
                self._free -= places
                turn.set_result(None)
