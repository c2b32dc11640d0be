"""The exporter's command, in a process of its own: how it is called, what its end means."""

import asyncio
import os
import re
import shlex
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields

from gateway.settings import GatewaySettings
from mesh.errors import Conflict, InternalError, InvalidInput, NotFound, Unavailable
from mesh.telemetry import log

_LONGEST_LINE = 64 * 1024
# Exit statuses of the command, as its help says.
_REFUSED, _UNREACHABLE, _BUSY, _MISFIT = 3, 4, 7, 8
# The line that says why nothing was done; its words are for the caller.
_REASON = re.compile(r"not (?:exported|added|removed): (.+)")


class Busy(Conflict):
    """Another process is at the same model."""


class Exporter:
    """Runs the command.

    Args:
        settings: the command, where models go to, how long it may take.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings

    async def export(self, source: str, name: str) -> None:
        """A model into the repository.

        Raises:
            InvalidInput: the source is refused; says why.
            Unavailable: the hub is away, or the command took too long.
            Busy, InternalError.
        """
        await self._done((), ("--name", name, "--", source))

    async def add(self, kind: str, source: str, name: str, model: str) -> None:
        """A ControlNet for hints of `kind` to a model of the repository; raises as `export`."""
        await self._done(("control",), ("--model", model, "--name", name, "--", kind, source))

    async def remove(self, name: str) -> None:
        """A model, or a ControlNet that was added to one, out of the repository.

        Raises:
            NotFound: there is neither.
            Busy, Unavailable, InternalError: as `export`.
        """
        try:
            await self._done(("remove",), ("--", name))
        except InvalidInput:
            raise NotFound(f"there is no model {name!r}", field="model") from None

    async def _done(self, verb: Sequence[str], arguments: Sequence[str]) -> None:
        status, reason = await self._run((*verb, "--repository", self._settings.model_repository, *arguments))
        if status in (_REFUSED, _MISFIT):
            raise InvalidInput(f"source can't be exported: {reason or 'the log says why'}", field="source")
        if status == _UNREACHABLE:
            raise Unavailable("the hub can't be reached", retry_after_s=60)
        if status == _BUSY:
            raise Busy("this model is being exported by another process")
        if status != 0:
            raise InternalError("the export failed; the log has the details")

    async def _run(self, arguments: Sequence[str]) -> tuple[int, str]:
        """Exit status of the command, and why it did nothing if it says so; what it says goes to the log."""
        # What this process was told is none of the command's business: keys above all.
        own = [f"-u{type(self._settings).PREFIX}{field.name.upper()}" for field in fields(self._settings)]
        given = shlex.split(self._settings.export_command)
        process = await asyncio.create_subprocess_exec(
            *("nice", "-n", "19", "env", *own, *given, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._settings.export_timeout_s):
                reason = await _tell(process)
                return await process.wait(), reason
        except TimeoutError:
            raise Unavailable("the export took longer than this deployment allows") from None
        finally:
            if process.returncode is None:
                # The whole session: exporters may have children of their own.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


async def _tell(process: asyncio.subprocess.Process) -> str:
    """Log what the command says; why it did nothing, if it says so."""
    assert process.stdout is not None
    reason = ""
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            continue  # one that is longer than anybody reads
        if not line:
            return reason
        if text := line.decode(errors="replace").strip():
            log.info("export", line=text[:500])
            if found := _REASON.match(text):
                reason = found[1][:500]
