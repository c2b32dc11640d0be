"""Runs the exporter's command as a subprocess, and turns its exit status into errors."""

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
# Exit statuses of the command, as in its --help.
_REFUSED, _UNREACHABLE, _BUSY, _MISFIT = 3, 4, 7, 8
# The line that says why nothing was done; it is passed on to the caller.
_REASON = re.compile(r"not (?:exported|added|removed): (.+)")


class Busy(Conflict):
    """Another process is exporting or removing the same model."""


class Exporter:
    """Runs the exporter's command.

    Args:
        settings: the command, the repository, the timeout.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings

    async def export(self, source: str, name: str) -> None:
        """Export a model into the repository.

        Raises:
            InvalidInput: the source was refused; the message says why.
            Unavailable: the hub can't be reached, or the command took too long.
            Busy, InternalError.
        """
        await self._done((), ("--name", name, "--", source))

    async def add(self, kind: str, source: str, name: str, model: str) -> None:
        """Add a ControlNet for hints of `kind` to a model in the repository; raises as `export`."""
        await self._done(("control",), ("--model", model, "--name", name, "--", kind, source))

    async def remove(self, name: str) -> None:
        """Remove a model, or a ControlNet that was added to one, from the repository.

        Raises:
            NotFound: neither exists.
            Busy, Unavailable, InternalError: as `export`.
        """
        try:
            await self._done(("remove",), ("--", name))
        except InvalidInput:
            raise NotFound(f"model {name!r} not found", field="model") from None

    async def _done(self, verb: Sequence[str], arguments: Sequence[str]) -> None:
        status, reason = await self._run((*verb, "--repository", self._settings.model_repository, *arguments))
        if status in (_REFUSED, _MISFIT):
            raise InvalidInput(f"source can't be exported: {reason or 'see the log for the reason'}", field="source")
        if status == _UNREACHABLE:
            raise Unavailable("the hub can't be reached", retry_after_s=60)
        if status == _BUSY:
            raise Busy("this model is being exported by another process")
        if status != 0:
            raise InternalError("the export failed; the log has the details")

    async def _run(self, arguments: Sequence[str]) -> tuple[int, str]:
        """Run the command; returns its exit status and its reason for doing nothing, if any. Its output is logged."""
        # The command must not inherit this process's settings, keys above all.
        own = [f"-u{type(self._settings).PREFIX}{field.name.upper()}" for field in fields(self._settings)]
        given = shlex.split(self._settings.export_command)
        process = await asyncio.create_subprocess_exec(
            *("nice", "-n", "19", "env", *own, *given, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=_LONGEST_LINE,
            start_new_session=True,
            # The repository is read by others: Triton and the services.
            umask=0o022,
        )
        try:
            async with asyncio.timeout(self._settings.export_timeout_s):
                reason = await _tell(process)
                return await process.wait(), reason
        except TimeoutError:
            raise Unavailable("the export took longer than this deployment allows") from None
        finally:
            if process.returncode is None:
                # The whole session, as exporters may have child processes.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


async def _tell(process: asyncio.subprocess.Process) -> str:
    """Log the command's output; returns its reason for doing nothing, or ""."""
    assert process.stdout is not None
    reason = ""
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            continue  # a line that is too long to be of use
        if not line:
            return reason
        if text := line.decode(errors="replace").strip():
            log.info("export", line=text[:500])
            if found := _REASON.match(text):
                reason = found[1][:500]
