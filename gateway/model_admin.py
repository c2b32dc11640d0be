"""Models come and go while the mesh runs: the exporter's command, in a process of its own, and waiting for the rooms.

The exporter moves a whole model into the repository, or nothing. Rooms look there every few seconds: unet_svc has the
model server load what came and unload what went, then each room serves it. So all that is done here is to run the
command and to see the model appear or vanish among those on offer.
"""

import asyncio
import os
import re
import shlex
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from families.manifest import is_name
from gateway.catalogue import Catalogue
from gateway.settings import GatewaySettings
from mesh.errors import Conflict, Forbidden, InternalError, InvalidInput, MeshError, NotEnabled, NotFound, Unavailable
from mesh.telemetry import log

Then = Callable[[MeshError | None], Awaitable[None]]
"""Told of the end: of its failure, or of None."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_LOOK_S = 0.5
_LONGEST_LINE = 64 * 1024
# Exit statuses of the command, as its help says.
_REFUSED, _UNREACHABLE, _BUSY = 3, 4, 7


class ModelAdmin:
    """Loads and deletes models.

    Args:
        settings: the command, where models may come from and go to, which are protected, how long it may take.
        catalogue: says what is on offer.
    """

    def __init__(self, settings: GatewaySettings, catalogue: Catalogue) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._one_at_a_time = asyncio.Lock()
        self._busy: dict[str, asyncio.Task[None]] = {}

    @property
    def enabled(self) -> bool:
        """Whether there is a command to run."""
        return bool(self._settings.export_command)

    async def close(self) -> None:
        """End what is being exported; the repository stays as it was."""
        for task in self._busy.values():
            task.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)

    def load(self, source: str, name: str, then: Then) -> None:
        """Begin to export `source` under `name`; it is on offer when `then` hears of no failure.

        Args:
            source: a folder of the configured ones, by its path below it or its whole path; or a hub's owner/name.
            name: lower-case letters, digits and single - or _.

        Raises:
            NotEnabled: no command is configured.
            InvalidInput: a name or source that can't be one; nothing was looked up under it.
            Conflict: this model is being loaded already.
            Forbidden: the model of that name is protected.
        """
        self._check(name)
        arguments = ("--name", name, "--", self._checked(source))
        if name in self._busy:
            raise Conflict(f"model {name!r} is being loaded already", field="model")
        task = asyncio.create_task(self._loaded(arguments, name, then))
        self._busy[name] = task
        task.add_done_callback(lambda _: self._busy.pop(name, None))

    async def delete(self, name: str) -> None:
        """Take the model out of the repository, and see it vanish from what is on offer.

        Raises:
            NotEnabled, InvalidInput, Conflict, Forbidden: as `load`.
            NotFound: there is no such model.
            Unavailable: it was taken out, and a room still offers it.
        """
        self._check(name)
        if name in self._busy:
            raise Conflict(f"model {name!r} is being loaded; try again when that is done", field="model")
        async with self._one_at_a_time:
            status = await self._run(("remove", "--", name))
        if status == _REFUSED:
            raise NotFound(f"there is no model {name!r}", field="model")
        _check_status(status)
        await self._seen(name, False)

    def _check(self, name: str) -> None:
        if not self.enabled:
            raise NotEnabled("loading and deleting models is not enabled here")
        if not is_name(name):
            raise InvalidInput(
                f"model {name[:80]!r} is no name: use lower-case letters, digits and single '-' or '_'", field="model"
            )
        if name in (*self._settings.protected_models, self._settings.default_model):
            raise Forbidden(f"model {name!r} is protected by this deployment's settings")

    def _checked(self, source: str) -> str:
        # Never by whether something exists elsewhere: a path outside the folders is refused unseen.
        for root in (Path(folder).resolve() for folder in self._settings.model_sources):
            with suppress(OSError, ValueError):
                place = (root / source).resolve()
                if place != root and place.is_relative_to(root) and place.is_dir():
                    return str(place)
        # The command would take a folder of that name, wherever it runs, before the hub.
        if _HUB_ID.fullmatch(source) and ".." not in source and not Path(source).exists():
            return source
        raise InvalidInput(
            f"source {source[:80]!r} is neither a folder that models may come from nor a hub id (owner/name)",
            field="source",
        )

    async def _loaded(self, arguments: Sequence[str], name: str, then: Then) -> None:
        failure: MeshError | None = None
        try:
            async with self._one_at_a_time:
                _check_status(await self._run(arguments))
            await self._seen(name, True)
        except MeshError as error:
            failure = error
        except Exception as error:
            log.error("unexpected error", exc_info=error, model=name)
            failure = InternalError("an unexpected error happened; the log has the details")
        log.info("model load ended", model=name, reason=failure.message if failure else "")
        await then(failure)

    async def _run(self, arguments: Sequence[str]) -> int:
        """Exit status of the command; what it says goes to the log."""
        given = shlex.split(self._settings.export_command)
        # What this process was told is none of the command's business: keys above all.
        own = [f"-u{type(self._settings).PREFIX}{field.name.upper()}" for field in fields(self._settings)]
        verb = [arguments[0]] if arguments[0] == "remove" else []
        rest = arguments[len(verb) :]
        line = ["nice", "-n", "19", "env", *own, *given, *verb, "--repository", self._settings.model_repository, *rest]
        process = await asyncio.create_subprocess_exec(
            *line,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._settings.export_timeout_s):
                await _tell(process)
                return await process.wait()
        except TimeoutError:
            raise Unavailable("the export took longer than this deployment allows") from None
        finally:
            if process.returncode is None:
                # The whole session: exporters may have children of their own.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    async def _seen(self, name: str, wanted: bool) -> None:
        """Wait until the model is on offer, or no more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.load_timeout_s):
                while True:
                    self._catalogue.forget()
                    with suppress(MeshError):
                        if ((await self._catalogue.offer()).model(name) is not None) == wanted:
                            return
                    # Rooms look at the repository by themselves; they tell nobody.
                    await asyncio.sleep(_LOOK_S)
        raise Unavailable(f"model {name!r} is {'not' if wanted else 'still'} on offer; the rooms' logs say why")


async def _tell(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            continue  # one that is longer than anybody reads
        if not line:
            return
        if text := line.decode(errors="replace").strip():
            log.info("export", line=text[:500])


def _check_status(status: int) -> None:
    if status == _REFUSED:
        raise InvalidInput("the source is no model that can be exported; the log says why", field="source")
    if status == _UNREACHABLE:
        raise Unavailable("the hub can't be reached", retry_after_s=60)
    if status == _BUSY:
        raise Conflict("this model is being exported by another process")
    if status != 0:
        raise InternalError("the export failed; the log has the details")
