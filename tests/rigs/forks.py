"""`python -m export` in forks of one process that has imported torch and diffusers: these imports take most of the time
of a small export."""

import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from tests.rigs.mesh import ROOT

_TOO_LONG_S = 600
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.rigs.preloaded"])


def export(*arguments: object, network: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run `python -m export` with `arguments` and return what it said.

    Args:
        network: False lets every connection raise.

    Raises:
        subprocess.TimeoutExpired: it ran for ten minutes.
    """
    return fork(f"{__name__}:run_export", [str(word) for word in arguments], network)


def fork(work: str, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    """Call a function, such as "tests.rigs.tiny_flux:make", in a process of its own and return what it said."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "out", Path(folder) / "err"
        process = _FORKS.Process(target=_told, args=(told, work, arguments))
        process.start()
        process.join(_TOO_LONG_S)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(str(arguments), _TOO_LONG_S)
        return subprocess.CompletedProcess(arguments, process.exitcode, *(path.read_text() for path in told))


def _told(told: tuple[Path, Path], work: str, arguments: tuple[Any, ...]) -> None:
    os.chdir(ROOT)
    for stream, path in zip((sys.stdout, sys.stderr), told, strict=True):
        with path.open("w") as file:
            os.dup2(file.fileno(), stream.fileno())
    resolve_name(work)(*arguments)


def run_export(arguments: Sequence[str], network: bool) -> None:
    """What `export` calls in the process of its own."""
    from export.__main__ import run
    from mesh.command import plainly

    if not network:
        socket.socket.connect = socket.getaddrinfo = _refuse  # type: ignore[assignment, method-assign]
    plainly(run, arguments)


def _refuse(*arguments: object) -> None:
    raise AssertionError("a connection was opened")
