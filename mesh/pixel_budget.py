"""A bound on the pixels that are being decoded at once, given out in the order of asking."""

import asyncio

from prometheus_client import Gauge

from mesh.errors import Overloaded

PIXELS = Gauge("cn_decode_pixels", "Pixels of the pictures that are being decoded.")
WAITING = Gauge("cn_decode_waiting", "Pictures that wait to be decoded.")

# Share of the budget from which on a picture is large.
_LARGE = 1 / 8


class PixelBudget:
    """Pixels in flight, and places for them, given in the order of asking.

    Large pictures leave one place to small ones, which take milliseconds: these pass large ones that wait for another
    large one to be done, and nobody else.

    Args:
        pixels: that may be in flight; no picture may have more.
        places: for pictures, whatever their size.
        waiting: pictures that may wait.
    """

    def __init__(self, pixels: int, places: int, waiting: int) -> None:
        self._free, self._places, self._most_waiting = pixels, places, waiting
        self._large = pixels * _LARGE
        self._places_of_large = max(1, places - 1)
        self._queue: list[tuple[int, asyncio.Future[None]]] = []

    async def take(self, pixels: int) -> None:
        """Wait for `pixels` and a place. Raises Overloaded if too many wait already."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((pixels, turn))
        self._admit()
        if not turn.done() and len(self._queue) > self._most_waiting:
            self._queue.pop()
            WAITING.set(len(self._queue))
            raise Overloaded(f"{len(self._queue)} pictures wait to be decoded; try again shortly", retry_after_s=2)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(pixels)
            else:
                self._queue = [waits for waits in self._queue if waits[1] is not turn]
                self._admit()
            raise

    def give(self, pixels: int) -> None:
        """Give back what was taken."""
        self._free += pixels
        self._places += 1
        self._places_of_large += pixels >= self._large
        PIXELS.dec(pixels)
        self._admit()

    def _admit(self) -> None:
        still: list[tuple[int, asyncio.Future[None]]] = []
        while self._queue:
            pixels, turn = self._queue[0]
            if not self._places or pixels > self._free:
                break
            self._queue.pop(0)
            if pixels >= self._large and not self._places_of_large:
                still.append((pixels, turn))
            elif not turn.done():
                self._begin(pixels)
                turn.set_result(None)
        self._queue[:0] = still
        WAITING.set(len(self._queue))

    def _begin(self, pixels: int) -> None:
        self._free -= pixels
        self._places -= 1
        self._places_of_large -= pixels >= self._large
        PIXELS.inc(pixels)
