"""Places for messages to receivers: few to a host at once, and shared by owner."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.webhooks.sender import Answer

MOST_A_HOST = 4
"""Messages of one owner to one host at once."""
MOST_A_HOST_IN_ALL = 12
"""Of all owners: no host is flooded through this gateway. An owner has at most as many as are still free."""
MOST_OF_SILENT = 2
"""Messages at once of an owner whose receivers have not answered lately."""
# Owners and hosts; a client can name any number of hosts.
_MOST_REMEMBERED = 10_000
# Messages in a row without an answer, to one host and in all, from which an owner gets fewer places.
_SILENT_AT_HOST, _SILENT = 3, 8


class ReceiverPlaces:
    """Limits the messages that this process sends at once, so that receivers who never answer keep nobody but their
    owner waiting: at a host they hold at most a third of the places, then one; of an owner whose messages are not
    answered anywhere, two are under way at once."""

    def __init__(self) -> None:
        self._at: Counter[tuple[str, str]] = Counter()
        self._at_host: Counter[str] = Counter()
        self._of_owner: Counter[str] = Counter()
        self._unanswered: Counter[tuple[str, str]] = Counter()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def of(self, owner: str, host: str) -> AsyncIterator[bool]:
        """Hold a place for a message of `owner` to `host`; yields whether it had to wait."""
        waited = False
        while not self._is_free(owner, host):
            waited = True
            changed = self._changed
            await changed.wait()
        self._count(owner, host, 1)
        try:
            yield waited
        finally:
            self._count(owner, host, -1)
            # Everybody looks again: there are few, and who may go depends on owner and host.
            self._changed.set()
            self._changed = asyncio.Event()

    def learn(self, owner: str, host: str, answer: Answer) -> None:
        """Count a message that was or was not answered, whatever the answer was."""
        for key in ((owner, host), (owner, "")):
            if answer.status is None:
                self._unanswered[key] += 1
            else:
                self._unanswered.pop(key, None)
        while len(self._unanswered) > _MOST_REMEMBERED:
            self._unanswered.pop(next(iter(self._unanswered)))

    def _is_free(self, owner: str, host: str) -> bool:
        silent_at_host = self._unanswered[owner, host] >= _SILENT_AT_HOST
        own, free = self._at[owner, host], MOST_A_HOST_IN_ALL - self._at_host[host]
        if own >= (1 if silent_at_host else MOST_A_HOST) or own >= free:
            return False
        return self._unanswered[owner, ""] < _SILENT or self._of_owner[owner] < MOST_OF_SILENT

    def _count(self, owner: str, host: str, change: int) -> None:
        counts: tuple[tuple[Counter[object], object], ...] = (
            (self._at, (owner, host)),  # type: ignore[assignment]
            (self._at_host, host),
            (self._of_owner, owner),
        )
        for counter, key in counts:
            counter[key] += change
            if not counter[key]:
                del counter[key]
