"""Tests, before anything is started, that every port of the mesh is free; names who holds one that is not."""

import dataclasses
import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psutil

from gateway.settings import split_address
from local.settings import LocalSettings
from mesh.settings import variable

_LOOPBACK = "127.0.0.1"


def addresses(settings: LocalSettings) -> Iterator[tuple[str, str, int]]:
    """Variable, host and port of everything that listens."""
    for field in dataclasses.fields(settings):
        value: Any = getattr(settings, field.name)
        if field.name.endswith("_port"):
            yield variable(LocalSettings, field), _LOOPBACK, value
        elif field.name.endswith("_address") and value:
            yield variable(LocalSettings, field), *split_address(value)


def faults(settings: LocalSettings) -> list[str]:
    """One line for each port that can't be used: which, who holds it, and the variable that moves it."""
    found = []
    wanted: dict[tuple[str, int], str] = {}
    with ExitStack() as held:
        for name, host, port in addresses(settings):
            if (host, port) in wanted:
                found.append(f"port {port} is used twice: by {wanted[host, port]} and by {name}; change one of them")
                continue
            wanted[host, port] = name
            try:
                family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
                one = held.enter_context(socket.socket(family))
                # As servers do: what a mesh left behind that has just ended is no obstacle.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind((host, port))
                one.listen(1)
            except OSError as error:
                why = _holder(port) if error.errno == errno.EADDRINUSE else f"not usable ({error.strerror})"
                # Somebody's connection to elsewhere may have the port for a moment; a server that meets it tries again.
                if why:
                    found.append(f"port {port} of {host} is {why}; {name} moves it")
    return found


def _holder(port: int) -> str:
    """Who listens on `port`, by name and process id as far as this user may know; "" for nobody."""
    try:
        listening = [at for at in psutil.net_connections("tcp") if at.status == psutil.CONN_LISTEN]
        pids = [at.pid for at in listening if at.laddr.port == port]
        if not pids:
            return ""
        pid = next(filter(None, pids), None)
        return f"taken by {psutil.Process(pid).name()} (pid {pid})" if pid else "taken by a process of another user"
    except (psutil.Error, OSError):
        return "taken by a process that this user can't see"
