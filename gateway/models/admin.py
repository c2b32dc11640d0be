"""Loads and deletes models while the mesh runs: runs the exporter's command and waits for the services.

The exporter moves a whole model into the repository, or nothing. The services poll the repository every few seconds:
unet_svc has the model server load new models and unload removed ones, then every service serves them. So all that is
done here is to run the command and to wait until the model appears in or disappears from the services' lists. A load
stays in the database until its end is recorded, so that another gateway resumes it if this one is killed.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from families.facts import is_name
from gateway.database.connection import Database
from gateway.generation.catalogue import Catalogue, Offer
from gateway.models import loads
from gateway.models.exporter import Busy, Exporter
from gateway.models.loads import Load
from gateway.settings import GatewaySettings
from gateway.workflows.port import Notify, notify_nobody
from mesh.errors import Conflict, Forbidden, InternalError, InvalidInput, MeshError, NotEnabled, Unavailable, unexpected
from mesh.periodic import every
from mesh.telemetry import log

Outbox = Callable[[Connection, Load, MeshError | None], None]
"""Called with a load and its failure, or None, in the transaction that ends the load; writes the webhook delivery."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_LOOK_S = 0.5
_HOLD_S = 60.0
SINGLE_FILE = ".safetensors"
"""Ending of the files that hold a whole model or ControlNet and may be loaded."""
MOST_ATTEMPTS = 3
"""A load is given up after so many attempts that ended with the process."""


class ModelAdmin:
    """Loads and deletes models.

    Args:
        settings: the command, allowed sources, the repository, protected models, timeouts.
        catalogue: lists the served models.
        database: holds the loads.
        outbox, written: called in the transaction that ends a load, and after its commit; see there.
        hold_s: seconds after which another process takes over the load of a dead one.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        catalogue: Catalogue,
        database: Database,
        outbox: Outbox = lambda connection, load, failure: None,
        written: Notify = notify_nobody,
        hold_s: float = _HOLD_S,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._database = database
        self._outbox, self._tell = outbox, written
        self._hold_s = hold_s
        self._exporter = Exporter(settings)
        self._holder = secrets.token_hex(16)
        self._one_at_a_time = asyncio.Lock()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def enabled(self) -> bool:
        """Whether a command is configured."""
        return bool(self._settings.export_command)

    def open(self) -> None:
        """Start to look for loads that other processes abandoned."""
        if self.enabled:
            self._looking = asyncio.create_task(every(self._hold_s / 4, self._look))

    async def close(self) -> None:
        """Stop running exports, for another process to resume; the repository is unchanged."""
        left = list(self._busy)
        tasks = [*self._busy.values(), *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for id in left:
            with suppress(Unavailable):
                await self._database.run(partial(loads.hold, id=id, holder=self._holder, hold_s=0.0))

    async def load(self, load: Load) -> None:
        """Start to export and load a model; it is served once the outbox is called without a failure.

        Args:
            load: its source is a path in one of the configured folders, relative or absolute, of a diffusers folder or
                a .safetensors file, or a hub id (owner/name); its names are lower-case letters, digits and single -
                or _.

        Raises:
            NotEnabled: no command is configured.
            InvalidInput: an invalid name or source, which is not looked up; or a ControlNet for a model that is not
                loaded.
            Conflict: a model of that name is already being loaded.
            Forbidden: the model of that name is protected.
        """
        self._check(load.name)
        self._checked(load.source)
        if load.kind is not None:
            _check_control(load, await self._catalogue.offer())
        try:
            await self._database.run(partial(loads.begin, load=load, holder=self._holder, hold_s=self._hold_s))
        except IntegrityError:
            # Another process inserted it at the same moment.
            raise loads.being_loaded(load.name) from None
        self._begin(load)

    async def delete(self, name: str) -> None:
        """Remove a model, or a ControlNet that was added to one, from the repository, and wait until it is not served.

        Raises:
            NotEnabled, InvalidInput, Conflict, Forbidden: as `load`.
            NotFound: neither exists.
            Unavailable: it was removed, but a service still serves it.
        """
        self._check(name)
        if await self._database.run(partial(loads.is_waiting, name=name)):
            raise Conflict(f"model {name!r} is being loaded; try again when that has finished", field="model")
        before: frozenset[str] = frozenset()
        with suppress(MeshError):
            self._catalogue.forget()
            before = _steered(await self._catalogue.offer(), name)
        async with self._one_at_a_time:
            await self._exporter.remove(name)

        def gone(offer: Offer) -> bool:
            left = _steered(offer, name)
            # A ControlNet; other models may have one of the same name that they were exported with.
            return offer.model(name) is None and (not before or left < before)

        await self._seen(gone, f"model {name!r} is still being served")

    # --- validation -------------------------------------------------------------------------------------------

    def _check(self, name: str) -> None:
        if not self.enabled:
            raise NotEnabled("loading and deleting models is not enabled here")
        if not is_name(name):
            raise InvalidInput(
                f"model {name[:80]!r} is not a valid name: use lower-case letters, digits and single '-' or '_'",
                field="model",
            )
        if name in (*self._settings.protected_models, self._settings.default_model):
            raise Forbidden(f"model {name!r} is protected by this deployment's settings")

    def _checked(self, source: str) -> str:
        # Paths outside the folders are refused without checking whether they exist.
        for root in (Path(folder).resolve() for folder in self._settings.model_sources):
            with suppress(OSError, ValueError):
                place = (root / source).resolve()
                if place != root and place.is_relative_to(root):
                    if place.is_dir() or (place.is_file() and place.suffix == SINGLE_FILE):
                        return str(place)
                    if place.is_file():
                        raise InvalidInput(
                            f"source {source[:80]!r} is neither a folder nor a {SINGLE_FILE} file; other files of "
                            "weights can run code when loaded: convert it first",
                            field="source",
                        )
        # The command would prefer a folder or file of that name in its working directory to the hub.
        if _HUB_ID.fullmatch(source) and ".." not in source and not Path(source).exists():
            return source
        raise InvalidInput(
            f"source {source[:80]!r} is neither in a folder that models may be loaded from nor a hub id (owner/name)",
            field="source",
        )

    # --- execution -------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Renew the leases of this process's loads; take over abandoned ones."""
        for id, task in list(self._busy.items()):
            held = partial(loads.hold, id=id, holder=self._holder, hold_s=self._hold_s)
            if not await self._database.run(held):
                # This process was suspended for so long that another one took over.
                task.cancel()
        left = partial(loads.take_up, holder=self._holder, hold_s=self._hold_s)
        for load in await self._database.run(left):
            log.warning("model load resumed", model=load.name, attempts=load.attempts)
            self._begin(load)

    def _begin(self, load: Load) -> None:
        task = asyncio.create_task(self._loaded(load))
        self._busy[load.id] = task
        task.add_done_callback(lambda _: self._busy.pop(load.id, None))

    async def _loaded(self, load: Load) -> None:
        failure: MeshError | None = None
        try:
            if load.attempts > MOST_ATTEMPTS:
                raise InternalError("the load was given up: every process that attempted it died")
            async with self._one_at_a_time:
                await self._exported(load)
            await self._seen(lambda offer: _offers(offer, load), f"model {load.name!r} is not being served")
        except MeshError as error:
            failure = error
        except Exception as error:
            log.error("unexpected error", exc_info=error, model=load.name)
            failure = unexpected()

        def end(connection: Connection) -> bool:
            ended = loads.end(connection, load.id, self._holder)
            if ended:
                self._outbox(connection, load, failure)
            return ended

        # If that fails, the load is resumed: what was exported is not exported twice.
        if await self._database.run(end):
            log.info("model load ended", model=load.name, reason=failure.message if failure else "")
            await self._tell(load.id)

    async def _exported(self, load: Load) -> None:
        source, until = self._checked(load.source), time.monotonic() + self._settings.export_timeout_s
        while True:
            try:
                if load.kind is None or load.model is None:
                    return await self._exporter.export(source, load.name)
                return await self._exporter.add(load.kind, source, load.name, load.model)
            except Busy:
                # The command outlives a gateway that is killed; wait for that one to finish.
                if load.attempts == 1 or time.monotonic() > until:
                    raise
            await asyncio.sleep(_LOOK_S)

    async def _seen(self, reached: Callable[[Offer], bool], otherwise: str) -> None:
        """Wait until the services' lists satisfy `reached`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.load_timeout_s):
                while True:
                    self._catalogue.forget()
                    with suppress(MeshError):
                        if reached(await self._catalogue.offer()):
                            return
                    # The services poll the repository themselves and send no notification.
                    await asyncio.sleep(_LOOK_S)
        raise Unavailable(f"{otherwise}; see the services' logs for the reason")


def _steered(offer: Offer, control: str) -> frozenset[str]:
    """The models that have a ControlNet of this name."""
    return frozenset(model.name for model in offer.models if control in model.controls)


def _offers(offer: Offer, load: Load) -> bool:
    if load.model is None:
        return offer.model(load.name) is not None
    # Two services must list it.
    return load.model in _steered(offer, load.name) and any(one.kind == load.name for one in offer.controls)


def _check_control(load: Load, offer: Offer) -> None:
    kinds = [control.kind for control in offer.controls]
    if load.kind not in kinds:
        raise InvalidInput(
            f"kind {load.kind!r} is not a known kind of control; known: {', '.join(kinds)}", field="kind"
        )
    if offer.model(load.model or "") is None:
        names = ", ".join(model.name for model in offer.models) or "none"
        raise InvalidInput(f"base {load.model!r} is not loaded; loaded: {names}", field="base")
