"""A semaphore that is shared evenly among owners.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): each owner has a start tag, which a grant moves on by the work
granted; the lowest tag goes next. Who comes after a pause starts at the tag of the last grant, so whoever sends much,
early or often gets no more than whoever sends little. What leaves before it was granted costs nothing.

Nobody is interrupted, so turns alone would let an owner's long jobs keep all places from whoever comes next. Of several
owners none holds more than some times what it leaves free (dynamic thresholds, Choudhury and Hahne, 1998): there is a
place for the next one, however many there are.
"""

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from gateway.generation.generation import Generation, Task

_STEPS, _PIXELS = 20, 512 * 512
_MOST_OF_FREE = 3
"""How many times the places that it leaves free an owner may hold: three quarters of all, if it is alone."""


def cost(generation: Generation, task: Task) -> int:
    """The work of a job in pictures of 20 steps and 512 × 512 pixels, at least one a picture."""
    if task == Task.HINT:
        return 1
    pixels = (generation.width or 512) * (generation.height or 512)
    return generation.samples * max(1, math.ceil(generation.planned_steps / _STEPS * pixels / _PIXELS))


@dataclass(eq=False)
class _Waiting:
    owner: str
    priority: int
    number: int
    places: int
    work: int
    given: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Places:
    """Places for pictures in the mesh. The owner who has got least goes first, whatever the size: small requests do not
    overtake a large one. Of one owner, higher priorities go first, then first come, first served.

    An owner that holds none may take what is free. One that holds some leaves the others a place.

    Args:
        places: their number; no caller may acquire more at once.
        everybody: the one owner who need not leave others a place, as where no keys are asked for.

    Attributes:
        number: of all places, free or not.
    """

    def __init__(self, places: int, everybody: str = "") -> None:
        self.number = places
        self._everybody = everybody
        self._free = places
        self._held: Counter[str] = Counter()
        self._arrivals = count()
        self._queue: list[_Waiting] = []
        self._present = 0
        # Where each owner who waits, or has got more than the others lately, starts next.
        self._starts: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """The number of callers that wait for places."""
        return len(self._queue)

    async def acquire(self, places: int, owner: str = "", work: int = 1, priority: int = 0) -> None:
        """Wait for this caller's turn and for `places` free places.

        Args:
            work: what the caller will do with them, by which its owner's next start is later.
            priority: among its owner's callers.
        """
        caller = _Waiting(owner, priority, next(self._arrivals), places, work)
        if not any(other.owner == owner for other in self._queue):
            self._starts[owner] = max(self._starts.get(owner, 0), self._present)
        self._queue.append(caller)
        self._call()
        try:
            await caller.given
        except asyncio.CancelledError:
            if caller.given.done() and not caller.given.cancelled():
                self.release(places, owner)
            else:
                # Not there any more if its turn came between its cancellation and now.
                if caller in self._queue:
                    self._queue.remove(caller)
                self._call()
            raise

    def release(self, places: int, owner: str = "") -> None:
        """Release `places` that this owner's caller had acquired."""
        self._free += places
        self._held[owner] -= places
        if not self._held[owner]:
            del self._held[owner]
        self._call()

    def _call(self) -> None:
        while callers := [caller for caller in self._queue if self._may(caller)]:
            caller = min(callers, key=self._order)
            if caller.places > self._free:
                break
            self._queue.remove(caller)
            if not caller.given.cancelled():
                self._free -= caller.places
                self._held[caller.owner] += caller.places
                self._present = self._starts[caller.owner]
                self._starts[caller.owner] += caller.work
                caller.given.set_result(None)
        waiting = {caller.owner for caller in self._queue}
        self._starts = {
            owner: start for owner, start in self._starts.items() if start > self._present or owner in waiting
        }

    def _may(self, caller: _Waiting) -> bool:
        """Whether its owner would leave the others enough."""
        held = self._held[caller.owner]
        left = self._free - caller.places
        return caller.owner == self._everybody or not held or held + caller.places <= _MOST_OF_FREE * left

    def _order(self, caller: _Waiting) -> tuple[int, int, int, int]:
        start = self._starts[caller.owner]
        oldest = min(other.number for other in self._queue if other.owner == caller.owner)
        return start, oldest, -caller.priority, caller.number
