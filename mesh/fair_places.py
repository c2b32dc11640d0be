"""Places that are shared evenly among owners: whose turn it is.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): each owner has a start tag, which a grant moves on by the work
granted; the lowest tag goes next. Who comes after a pause starts at the tag of the last grant, so whoever sends much,
early or often gets no more than whoever sends little. What leaves before it was granted costs nothing.
"""

import asyncio
from abc import ABC, abstractmethod
from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from itertools import count


@dataclass(eq=False)
class Caller:
    """Someone who waits for `places`, to do `work` with them."""

    owner: str
    priority: int
    number: int
    places: int
    work: int
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def rank(self) -> tuple[int, int]:
        """Its rank among its owner's callers: higher priorities first, then first come, first served."""
        return -self.priority, self.number


class FairPlaces(ABC):
    """The owner who has got least goes first, whatever the size: small requests do not overtake a large one.

    Attributes:
        held: owner -> places that it holds; owners who hold none are not there.
    """

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self._arrivals = count()
        self._queues: dict[str, list[Caller]] = {}
        self._present = 0
        # Where each owner who waits, or has got more than the others lately, starts next.
        self._starts: dict[str, int] = {}

    @abstractmethod
    def may(self, caller: Caller) -> bool:
        """Whether its owner would leave the others enough."""

    @abstractmethod
    def fits(self, caller: Caller) -> bool:
        """Whether there are enough free places; until there are, nobody goes before it."""

    @property
    def waiting(self) -> int:
        """The number of callers that wait for places."""
        return sum(len(queue) for queue in self._queues.values())

    async def acquire(self, places: int, owner: str = "", work: int = 1, priority: int = 0) -> None:
        """Wait for this caller's turn and for `places` free places.

        Args:
            work: what the caller will do with them, by which its owner's next start is later.
            priority: among its owner's callers.
        """
        caller = Caller(owner, priority, next(self._arrivals), places, work)
        if owner not in self._queues:
            self._starts[owner] = max(self._starts.get(owner, 0), self._present)
        insort(self._queues.setdefault(owner, []), caller, key=lambda other: other.rank)
        self.grant()
        try:
            await caller.granted
        except asyncio.CancelledError:
            if caller.granted.done() and not caller.granted.cancelled():
                self.release(places, owner)
            else:
                # Not there any more if its turn came between its cancellation and now.
                if caller in self._queues.get(owner, ()):
                    self._leave(caller)
                self.grant()
            raise

    def release(self, places: int, owner: str = "") -> None:
        """Release `places` that this owner's caller had acquired."""
        self.held[owner] -= places
        if not self.held[owner]:
            del self.held[owner]
        self.grant()

    def grant(self) -> None:
        """Give places to whoever's turn it is, as long as there are enough."""
        while callers := [caller for queue in self._queues.values() if (caller := self._first(queue))]:
            caller = min(callers, key=self._order)
            if not self.fits(caller):
                break
            self._leave(caller)
            if not caller.granted.cancelled():
                self.held[caller.owner] += caller.places
                self._present = self._starts[caller.owner]
                self._starts[caller.owner] += caller.work
                caller.granted.set_result(None)
        self._starts = {
            owner: start for owner, start in self._starts.items() if start > self._present or owner in self._queues
        }

    def _first(self, queue: list[Caller]) -> Caller | None:
        return next(filter(self.may, queue), None)

    def _leave(self, caller: Caller) -> None:
        queue = self._queues[caller.owner]
        queue.remove(caller)
        if not queue:
            del self._queues[caller.owner]

    def _order(self, caller: Caller) -> tuple[int, int]:
        return self._starts[caller.owner], min(other.number for other in self._queues[caller.owner])
