"""Places for hints, shared evenly among owners."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from prometheus_client import Counter as CounterMetric
from prometheus_client import Gauge

from mesh.errors import Overloaded, TooOften

WAITING = Gauge("cn_hints_waiting", "Hints that wait for a place in this process.")
REFUSED = CounterMetric("cn_hints_refused_total", "Hints refused at a limit, by limit.", ["limit"])

_WAITING_A_PLACE = 8
_PAUSE_S = 2.0


@dataclass(eq=False)
class _Caller:
    owner: str
    number: int
    given: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class HintPlaces:
    """Limits how many hints are made and wait in this process. A free place goes to the owner who has the fewest, then
    to the one that got none for longest; an owner's waiting hints are bounded as its waiting jobs are, see
    gateway.jobs.shares.

    Args:
        places: hints that are made at once; eight times as many may wait.
        owner_share: an owner's waiting hints are at most this many times the waiting places that are free; 0: any.
    """

    def __init__(self, places: int, owner_share: float) -> None:
        self._free = places
        self._most_waiting = _WAITING_A_PLACE * places
        self._owner_share = owner_share
        self._queue: list[_Caller] = []
        self._running: Counter[str] = Counter()
        self._served: dict[str, int] = {}
        self._numbers = count(1)

    @asynccontextmanager
    async def of(self, owner: str, is_sole: bool = False) -> AsyncIterator[None]:
        """Hold a place for a hint of `owner`.

        Args:
            is_sole: whether there is no other owner who could need waiting places.

        Raises:
            Overloaded: too many hints are waiting, of all owners.
            TooOften: too many of this owner are waiting.
        """
        caller = self._admitted(owner, is_sole)
        try:
            await caller.given
        except asyncio.CancelledError:
            if caller.given.done() and not caller.given.cancelled():
                self._leave(owner)
            else:
                # Not there any more if its turn came between its cancellation and now.
                if caller in self._queue:
                    self._queue.remove(caller)
                self._give()
                WAITING.set(len(self._queue))
            raise
        try:
            yield
        finally:
            self._leave(owner)

    def _admitted(self, owner: str, is_sole: bool) -> _Caller:
        if not self._free:
            free = self._most_waiting - len(self._queue)
            if free <= 0:
                REFUSED.labels("waiting").inc()
                raise Overloaded(
                    f"{len(self._queue)} hints are already waiting; try again later", retry_after_s=_PAUSE_S
                )
            own = sum(caller.owner == owner for caller in self._queue)
            if self._owner_share and not is_sole and own >= self._owner_share * free:
                REFUSED.labels("owner_waiting").inc()
                raise TooOften(
                    f"{own} of your hints are already waiting; the other places are kept for others; try again later",
                    retry_after_s=_PAUSE_S,
                )
        caller = _Caller(owner, next(self._numbers))
        self._queue.append(caller)
        self._give()
        return caller

    def _leave(self, owner: str) -> None:
        self._free += 1
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
        self._give()

    def _give(self) -> None:
        while self._free and self._queue:
            caller = min(self._queue, key=self._order)
            self._queue.remove(caller)
            if not caller.given.cancelled():
                self._free -= 1
                self._running[caller.owner] += 1
                self._served[caller.owner] = next(self._numbers)
                caller.given.set_result(None)
        if not self._running:
            self._served.clear()
        WAITING.set(len(self._queue))

    def _order(self, caller: _Caller) -> tuple[int, int, int]:
        return self._running[caller.owner], self._served.get(caller.owner, 0), caller.number
