"""The gateway's parts, put together once: what a dialect has to work with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.assets import Assets, open_store
from gateway.auth import Keys
from gateway.catalogue import Catalogue
from gateway.fetch import Fetcher
from gateway.hints import Hints
from gateway.images import Pictures
from gateway.jobs import JobEngine
from gateway.memory_jobs import MemoryJobs
from gateway.pipeline import Pipeline
from gateway.rooms import Rooms
from gateway.settings import GatewaySettings
from mesh.telemetry import log


@dataclass(frozen=True)
class Parts:
    """What a request may need.

    Attributes:
        leaving: set when this process is going away; it is not ready from then on.
    """

    settings: GatewaySettings
    keys: Keys
    rooms: Rooms
    catalogue: Catalogue
    jobs: JobEngine
    assets: Assets
    pictures: Pictures
    hints: Hints
    leaving: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def open_parts(settings: GatewaySettings, fetcher: Fetcher | None = None) -> AsyncIterator[Parts]:
    """All parts, for as long as the context lasts; at its end unfinished generations are cancelled."""
    rooms = Rooms(settings.mesh_address)
    with open_store(settings.storage_url) as store:
        assets = Assets(store, settings.retention_s)
        jobs = MemoryJobs(
            Pipeline(rooms, settings.deadline_s).run,
            assets,
            max_pictures=settings.max_pictures,
            max_waiting=settings.max_waiting,
            max_records=settings.max_records,
            retention_s=settings.retention_s,
        )
        fetcher = fetcher or Fetcher(allow=settings.fetch_allow, timeout_s=settings.fetch_timeout_s)
        sweeping = asyncio.create_task(_sweep(assets, settings.retention_s))
        try:
            yield Parts(
                settings=settings,
                keys=Keys(settings.api_keys),
                rooms=rooms,
                catalogue=Catalogue(rooms, settings.default_model),
                jobs=jobs,
                assets=assets,
                pictures=Pictures(fetcher),
                hints=Hints(rooms, settings.deadline_s),
            )
        finally:
            sweeping.cancel()
            await jobs.close()
            await rooms.close()


async def _sweep(assets: Assets, retention_s: float) -> None:
    while True:
        try:
            if removed := await assets.sweep():
                log.info("old results removed", files=removed)
        except Exception as error:
            # A store that is away for a while must not end the sweeping for good.
            log.error("old results can't be removed", exc_info=error)
        await asyncio.sleep(min(600.0, retention_s / 10))
