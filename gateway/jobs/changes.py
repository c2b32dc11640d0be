"""Who waits for news of jobs: woken by this process's own work at once, by that of other processes at a look."""

import asyncio
from collections.abc import Callable
from functools import partial
from weakref import WeakValueDictionary

from gateway.database.connection import Database
from gateway.jobs import records


class Changes:
    """Those who wait, by the job.

    Args:
        database: of the records.
        knows: whether this process will itself wake those who wait for the job of an id.
    """

    def __init__(self, database: Database, knows: Callable[[str], bool]) -> None:
        self._database = database
        self._knows = knows
        # By id, as long as somebody waits for it.
        self._waiting: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._marks: dict[str, records.Mark] = {}

    def of(self, id: str) -> asyncio.Event:
        """Set at the next news of a job; to be taken before its record is read, so that none are missed."""
        return self._waiting.setdefault(id, asyncio.Event())

    def wake(self, id: str) -> None:
        """Tell those who wait for a job that there are news."""
        if event := self._waiting.pop(id, None):
            event.set()

    async def look(self) -> None:
        """See what other processes did: one question for all jobs, however many wait for them.

        Of a job that is looked at for the first time nobody knows whether it changed since it was read, so who waits
        for it reads it once more.
        """
        ids = [id for id in self._waiting if not self._knows(id)]
        marks = await self._database.run(partial(records.marks, ids=ids)) if ids else {}
        before, self._marks = self._marks, marks
        for id in ids:
            if id not in marks or marks[id] != before.get(id):
                self.wake(id)
