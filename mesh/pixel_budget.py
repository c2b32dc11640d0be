"""A bound on the pixels that are being decoded at once, given out in the order of asking."""

import asyncio
from collections import deque

from prometheus_client import Gauge

from mesh.errors import Overloaded

PIXELS = Gauge("cn_decode_pixels", "Pixels of the pictures that are being decoded.")
WAITING = Gauge("cn_decode_waiting", "Pictures that wait to be decoded.")


class PixelBudget:
    """Pixels in flight, and places for them, given in the order of asking.

    Args:
        pixels: that may be in flight; no picture may have more.
        places: for pictures, whatever their size.
        waiting: pictures that may wait.
    """

    def __init__(self, pixels: int, places: int, waiting: int) -> None:
        self._free, self._places, self._most_waiting = pixels, places, waiting
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, pixels: int) -> None:
        """Wait for `pixels` and a place. Raises Overloaded if too many wait already."""
        if not self._queue and self._fits(pixels):
            self._begin(pixels)
            return
        if len(self._queue) >= self._most_waiting:
            raise Overloaded(f"{len(self._queue)} pictures wait to be decoded; try again shortly", retry_after_s=2)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((pixels, turn))
        WAITING.set(len(self._queue))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(pixels)
            else:
                self._queue.remove((pixels, turn))
                self._admit()
            raise

    def give(self, pixels: int) -> None:
        """Give back what was taken."""
        self._free += pixels
        self._places += 1
        PIXELS.dec(pixels)
        self._admit()

    def _admit(self) -> None:
        while self._queue and self._fits(self._queue[0][0]):
            pixels, turn = self._queue.popleft()
            if not turn.done():
                self._begin(pixels)
                turn.set_result(None)
        WAITING.set(len(self._queue))

    def _fits(self, pixels: int) -> bool:
        return self._places > 0 and pixels <= self._free

    def _begin(self, pixels: int) -> None:
        self._free -= pixels
        self._places -= 1
        PIXELS.inc(pixels)
