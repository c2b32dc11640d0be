"""Notifies waiters of changes of jobs: at once for changes by this process, by polling for those of others."""

import asyncio
from collections.abc import Callable
from functools import partial
from weakref import WeakValueDictionary

from gateway.database.connection import Database
from gateway.jobs import records


class Changes:
    """The waiters for changes of jobs, by job.

    Args:
        database: holds the records.
        knows: whether this process itself reports the changes of the job with an id.
    """

    def __init__(self, database: Database, knows: Callable[[str], bool]) -> None:
        self._database = database
        self._knows = knows
        # By id, for as long as somebody waits.
        self._waiting: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._marks: dict[str, records.Mark] = {}

    def of(self, id: str) -> asyncio.Event:
        """An event that is set at the job's next change. Get it before reading the record, to miss no change."""
        return self._waiting.setdefault(id, asyncio.Event())

    def wake(self, id: str) -> None:
        """Notify the waiters for a job of a change."""
        if event := self._waiting.pop(id, None):
            event.set()

    async def look(self) -> None:
        """Look for changes made by other processes: one query for all jobs, however many waiters they have.

        A job that is polled for the first time may have changed since its waiters read it, so they are notified once.
        """
        ids = [id for id in self._waiting if not self._knows(id)]
        marks = await self._database.run(partial(records.marks, ids=ids)) if ids else {}
        before, self._marks = self._marks, marks
        for id in ids:
            if id not in marks or marks[id] != before.get(id):
                self.wake(id)
