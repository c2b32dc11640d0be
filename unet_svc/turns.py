"""Whose step is computed next: owners whose pictures are made at once get steps alike, however many pictures each has.

The model server computes what it is sent in order, and what comes together in one batch. A picture asks for its next
step only when it has the last one, so beside twelve pictures of another owner a single picture would get a thirteenth
of the steps. While several owners have pictures, each waits for its turn here, and only a few steps are with the
model server at once; an owner that is alone sends all of its steps at once. Of one owner the picture that was begun
first goes first: its pictures end one after another, each sooner than if all went on together, and not all in the
same moment.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count

from mesh.fair_places import Caller, FairPlaces


class Turns(FairPlaces):
    """Turns at the model server.

    Args:
        an_owner: steps that are at the model server at once, for each owner with pictures, where there are several. One
            that has fewer leaves its turns to the others, but for one: its next step begins at once. With n owners a
            single picture shares the model server with an_owner * n - 1 other steps.
    """

    def __init__(self, an_owner: int) -> None:
        super().__init__()
        self._an_owner = an_owner
        self._loops: Counter[str] = Counter()
        self._begun = count()

    @contextmanager
    def loop(self, owner: str) -> Iterator[int]:
        """While a picture of `owner` is made; yields its number, in the order in which pictures are begun."""
        self._loops[owner] += 1
        try:
            yield next(self._begun)
        finally:
            self._loops[owner] -= 1
            if not self._loops[owner]:
                del self._loops[owner]
                self.grant()

    @asynccontextmanager
    async def step(self, owner: str, number: int, work: int) -> AsyncIterator[None]:
        """Wait for a turn of `owner`, whose loop `number` is open, and hold it. work: latent cells times networks."""
        await self.acquire(1, owner, work, priority=-number)
        try:
            yield
        finally:
            self.release(1, owner)

    def may(self, caller: Caller) -> bool:
        """See FairPlaces."""
        if len(self._loops) < 2 or not self.held[caller.owner]:
            return True
        kept = sum(not self.held[owner] for owner in self._loops if owner != caller.owner)
        return self.held.total() + 1 + kept <= self._an_owner * len(self._loops)

    def fits(self, caller: Caller) -> bool:
        """See FairPlaces."""
        return True
