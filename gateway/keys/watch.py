"""Refreshes the snapshot of keys: changes by other processes take effect within about a second."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from sqlalchemy import Connection

from gateway.database.connection import Database
from gateway.keys import records as key_records
from gateway.keys.keys import UNGUESSABLE, Holder, Keys
from gateway.keys.limits import Limits
from gateway.settings import GatewaySettings
from mesh.errors import Unavailable
from mesh.telemetry import log

REFRESH_S = 1.0
"""Polling interval in seconds. A key that is not in the snapshot is unknown until the next refresh: wrong keys, however
many, cause no query."""
_TOUCH_S = 60.0


class KeyWatch:
    """Refreshes the snapshot `keys` from the database, and records which keys were used.

    Args:
        database: of records.
        keys: the snapshot.
        pause: waits between refreshes, in seconds.
        clock: seconds, to time the writing of last uses.
    """

    def __init__(
        self,
        database: Database,
        keys: Keys,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._keys = keys
        self._pause = pause
        self._clock = clock
        self._seen: tuple[int, int] | None = None
        self._touched_at = clock()

    async def refresh(self) -> None:
        """Reload the keys if any changed.

        Raises:
            Unavailable: the database is not available.
        """
        changed = await self._database.run(self._changed)
        if changed is not None:
            mark, valid = changed
            self._keys.learn(valid, ever=mark[0])
            self._seen = mark

    async def run(self) -> None:
        """Refresh forever. While the database is not available, the last snapshot is used."""
        while True:
            await self._pause(REFRESH_S)
            try:
                await self.refresh()
                if self._clock() - self._touched_at >= _TOUCH_S:
                    await self.touch()
            except Unavailable:
                # The database module has logged it.
                continue
            except Exception as error:
                log.error("keys can't be refreshed", exc_info=error)

    async def touch(self) -> None:
        """Record which keys were used since the last call.

        Raises:
            Unavailable: the database is not available; these uses are lost.
        """
        self._touched_at = self._clock()
        if used := self._keys.take_used():
            await self._database.run(lambda connection: key_records.touch(connection, used))

    async def close(self) -> None:
        """Record the remaining uses."""
        try:
            await self.touch()
        except Unavailable:
            log.warning("last uses of keys were not recorded")

    def _changed(self, connection: Connection) -> tuple[tuple[int, int], Mapping[bytes, Holder]] | None:
        mark = key_records.mark(connection)
        return None if mark == self._seen else (mark, key_records.valid(connection))


@asynccontextmanager
async def open_keys(settings: GatewaySettings, database: Database) -> AsyncIterator[Keys]:
    """The keys of the environment and of the database, refreshed while the context is open.

    Raises:
        SettingsError: other machines can reach the gateway, and there is no key.
    """
    keys = Keys(settings.api_keys, Limits(settings.limits_url), always=bool(settings.reachable()))
    watch = KeyWatch(database, keys)
    await watch.refresh()
    if not keys.any:
        settings.refuse_strangers()
    if any(len(key) < UNGUESSABLE for key in settings.api_keys) and settings.reachable():
        log.warning("a key of CN_GATEWAY_API_KEYS is short; `python -m gateway keys create` creates one of 256 bits")
    watching = asyncio.create_task(watch.run())
    try:
        yield keys
    finally:
        watching.cancel()
        await watch.close()
