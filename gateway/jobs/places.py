"""A semaphore that is shared evenly among owners."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count


@dataclass(eq=False)
class _Waiting:
    """A caller that waits: its owner's turn, its number in the order of arrival, ..."""

    turn: int
    number: int
    owner: str
    priority: int
    places: int
    given: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Places:
    """Places for pictures in the mesh. The lowest turn of all goes first, whatever the size: small requests do not
    overtake a large one. An owner's turns are its own: which of its callers has the first of them is decided by their
    priority, then by their arrival.

    Args:
        places: their number; no caller may acquire more at once.

    Attributes:
        number: of all places, free or not.
    """

    def __init__(self, places: int) -> None:
        self.number = places
        self._free = places
        self._arrivals = count()
        self._queue: list[_Waiting] = []

    @property
    def waiting(self) -> int:
        """The number of callers that wait for places."""
        return len(self._queue)

    async def acquire(self, places: int, owner: str = "", turn: int = 0, priority: int = 0) -> None:
        """Wait for this caller's turn and for `places` free places; of one owner, a higher priority goes first."""
        caller = _Waiting(turn, next(self._arrivals), owner, priority, places)
        self._queue.append(caller)
        self._call()
        try:
            await caller.given
        except asyncio.CancelledError:
            if caller.given.done() and not caller.given.cancelled():
                self.release(places)
            else:
                # Not there any more if its turn came between its cancellation and now.
                if caller in self._queue:
                    self._queue.remove(caller)
                self._call()
            raise

    def release(self, places: int) -> None:
        """Release `places`."""
        self._free += places
        self._call()

    def _call(self) -> None:
        while self._queue:
            caller = _first(self._queue)
            if caller.places > self._free:
                return
            self._queue.remove(caller)
            if not caller.given.cancelled():
                self._free -= caller.places
                caller.given.set_result(None)


def _first(queue: Iterable[_Waiting]) -> _Waiting:
    """Whose turn it is; it takes its owner's first turn, and gives its own for it."""
    first = min(queue, key=lambda one: (one.turn, one.number))
    own = (one for one in queue if one.owner == first.owner)
    chosen = min(own, key=lambda one: (-one.priority, one.number))
    first.turn, chosen.turn = chosen.turn, first.turn
    return chosen
