"""Builds the gateway's parts, which the dialects work with."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection

from gateway.database.connection import Database, open_database
from gateway.database.encryption import Cipher
from gateway.database.secrets import shared_key
from gateway.egress.fetch import Fetcher
from gateway.egress.hosts import Egress
from gateway.files.assets import Assets
from gateway.files.links import Links
from gateway.files.quota import Quota
from gateway.files.records import places
from gateway.files.stores import S3Access, open_store
from gateway.files.tenant_storage import TenantStorages
from gateway.files.uploads import Uploads
from gateway.generation.catalogue import Catalogue
from gateway.generation.conversion import Conversion
from gateway.generation.hint_places import HintPlaces
from gateway.generation.hints import Hints
from gateway.generation.pictures import Pictures
from gateway.generation.pipeline import Pipeline
from gateway.generation.services import Services
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Job, Outbox
from gateway.jobs.limits import Bounds
from gateway.jobs.limits import Timing as JobTiming
from gateway.jobs.results import of_job
from gateway.keys.keys import ANYBODY, Keys
from gateway.keys.watch import open_keys
from gateway.models.admin import ModelAdmin
from gateway.models.admin import Outbox as LoadOutbox
from gateway.models.loads import Load, LoadAnnouncer
from gateway.settings import GatewaySettings
from gateway.web.bodies import Bounds as BodyBounds
from gateway.web.budget import ByteBudget
from gateway.web.unkeyed import Allowance
from gateway.webhooks.announcement import Announcer, Link, Signer
from gateway.webhooks.timing import Timing
from gateway.webhooks.webhooks import Webhooks
from gateway.workflows.dbos import DurableWorkflows
from gateway.workflows.port import Workflows
from gateway.workflows.tasks import TaskWorkflows
from mesh.errors import MeshError
from mesh.periodic import every, sweep_every_s
from mesh.telemetry import log


@dataclass(frozen=True)
class Voice:
    """A dialect's webhooks.

    Attributes:
        announce: writes the announcement of a job; None: the native dialect's is used.
        events: event names that an endpoint of this dialect may subscribe to; empty: it has no endpoints.
        announce_load: writes the announcement of a model's load; None if the dialect can't load models.
        sign: returns its own signature headers, in addition to those of Standard Webhooks.
    """

    announce: Announcer | None = None
    events: Sequence[str] = ()
    announce_load: LoadAnnouncer | None = None
    sign: Signer | None = None


@dataclass(frozen=True)
class Gateway:
    """The gateway's parts.

    Attributes:
        database: holds the records; temporary unless the settings name one.
        leaving: set when this process starts to shut down; it is not ready from then on.
        ending: set to request the shutdown of this process.
    """

    settings: GatewaySettings
    keys: Keys
    services: Services
    catalogue: Catalogue
    jobs: JobEngine
    assets: Assets
    uploads: Uploads
    webhooks: Webhooks
    pictures: Pictures
    hints: Hints
    bodies: BodyBounds
    conversion: Conversion
    models: ModelAdmin
    database: Database
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    ending: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def open_gateway(
    settings: GatewaySettings, voices: Mapping[str, Voice], fetcher: Fetcher | None = None
) -> AsyncIterator[Gateway]:
    """Build all parts, and close them at the end of the context; for unfinished jobs see JobEngine.close.

    Args:
        settings: of the gateway.
        voices: dialect -> its webhooks.
        fetcher: fetches pictures; None: built from the settings.
    """
    if settings.max_records is not None:
        log.warning(
            "CN_GATEWAY_MAX_RECORDS no longer has an effect; records are kept for CN_GATEWAY_RETENTION_S seconds"
        )
    async with AsyncExitStack() as stack:
        services = Services(settings.mesh_address)
        stack.push_async_callback(services.close)
        database = stack.enter_context(open_database(settings.database_url))
        keys = await stack.enter_async_context(open_keys(settings, database))
        assets = await _assets(settings, database, stack)
        uploads = Uploads(assets, database)
        workflows = _workflows(settings, database)
        webhooks = _webhooks(settings, database, workflows, assets, voices)
        jobs = JobEngine(
            database,
            workflows,
            Pipeline(services, settings.deadline_s).run,
            assets,
            Bounds(
                settings.max_pictures,
                settings.max_waiting,
                settings.retention_s,
                owner_share=settings.owner_waiting,
                owner_records=settings.owner_records,
                everybody=ANYBODY,
            ),
            quota=assets.quota,
            outbox=_each(partial(of_job, retention_s=settings.retention_s), webhooks.outbox.write),
            notify=webhooks.outbox.written,
            # Who has no records that last hears at once that the mesh is away, as from a request that is waited for.
            timing=JobTiming() if database.durable else JobTiming(patience_s=0.0),
        )
        await jobs.open(webhooks.deliveries.attempt)
        stack.push_async_callback(jobs.close)
        webhooks.open()
        # Closed before the engine, which waits for running attempts.
        stack.push_async_callback(webhooks.close)
        catalogue = Catalogue(services, settings.default_model)
        models = ModelAdmin(settings, catalogue, database, _loads_outbox(webhooks, voices), webhooks.outbox.written)
        models.open()
        stack.push_async_callback(models.close)
        fetcher = fetcher or _fetcher(settings, keys)

        async def sweep() -> None:
            if removed := await assets.sweep():
                log.info("old files removed", files=removed)
            await uploads.sweep()

        sweeping = asyncio.create_task(every(sweep_every_s(settings.retention_s), sweep))
        stack.callback(sweeping.cancel)
        yield Gateway(
            settings=settings,
            keys=keys,
            services=services,
            catalogue=catalogue,
            jobs=jobs,
            assets=assets,
            uploads=uploads,
            webhooks=webhooks,
            pictures=Pictures(fetcher),
            hints=Hints(services, settings.deadline_s, HintPlaces(settings.max_hints, settings.owner_waiting)),
            bodies=BodyBounds(
                ByteBudget(settings.body_budget_bytes, settings.max_body_bytes),
                settings.max_body_bytes,
                settings.body_portion_s,
                Allowance(settings.body_unkeyed_bytes, settings.max_body_bytes),
            ),
            conversion=Conversion(services, settings.deadline_s),
            models=models,
            database=database,
        )


def s3_access(settings: GatewaySettings) -> S3Access:
    """Access to the bucket in which files are stored."""
    return S3Access(
        endpoint=settings.storage_endpoint,
        region=settings.storage_region,
        access_key=settings.storage_access_key,
        secret_key=settings.storage_secret_key,
        allow_http=settings.storage_allow_http,
    )


async def _assets(settings: GatewaySettings, database: Database, stack: AsyncExitStack) -> Assets:
    store = stack.enter_context(open_store(settings.storage_url, s3_access(settings)))
    key = await database.run(partial(shared_key, name="links"))
    cipher = await asyncio.to_thread(Cipher, settings.secret, passing=not database.durable)
    storages = TenantStorages(database, cipher, settings.storage_allow)
    return Assets(
        store,
        settings.retention_s,
        database,
        links=Links(key),
        urls=settings.asset_urls,
        storages=storages,
        quota=Quota(settings.owner_bytes, settings.owner_files),
        floor_bytes=settings.storage_floor_bytes,
    )


def _fetcher(settings: GatewaySettings, keys: Keys) -> Fetcher:
    def allow() -> Sequence[str]:
        return settings.fetch_allow + (() if keys.asked_for else settings.fetch_allow_keyless)

    return Fetcher(allow=allow, timeout_s=settings.fetch_timeout_s)


def _workflows(settings: GatewaySettings, database: Database) -> Workflows:
    """Durable workflows if the database is durable, else tasks of this process."""
    if database.durable:
        return DurableWorkflows(settings.database_url, settings.max_pictures)
    return TaskWorkflows(settings.max_pictures)


def _webhooks(
    settings: GatewaySettings, database: Database, workflows: Workflows, assets: Assets, voices: Mapping[str, Voice]
) -> Webhooks:
    def linking(connection: Connection, job: Job) -> Link:
        base, placed = str(job.echo.get("base_url", "")), places(connection, job.assets)
        return lambda name: placed[name].url if name in placed else assets.url(base, name)

    return Webhooks(
        database,
        workflows,
        Egress(allow=settings.webhook_allow, setting="CN_GATEWAY_WEBHOOK_ALLOW"),
        {name: voice.announce for name, voice in voices.items() if voice.announce},
        signers={name: voice.sign for name, voice in voices.items() if voice.sign},
        events={name: voice.events for name, voice in voices.items() if voice.events},
        linking=linking,
        timing=Timing(retention_s=settings.retention_s),
    )


def _loads_outbox(webhooks: Webhooks, voices: Mapping[str, Voice]) -> LoadOutbox:
    """An outbox that writes the webhook delivery of a load, in its dialect."""

    def write(connection: Connection, load: Load, failure: MeshError | None) -> None:
        if load.webhook is not None:
            announce = voices[load.dialect].announce_load
            assert announce is not None
            told = announce(load, failure)
            webhooks.outbox.enqueue(connection, load.id, load.owner, load.webhook, load.dialect, told)

    return write


def _each(*outboxes: Outbox) -> Outbox:
    """Combines several outboxes into one."""

    def write(connection: Connection, job: Job) -> None:
        for outbox in outboxes:
            outbox(connection, job)

    return write
