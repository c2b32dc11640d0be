"""Ports for one mesh beside others: each is given once on a machine, and never by the kernel to anybody else.

A port that a socket got by asking for any is free again when that socket closes, and Triton listens on its own only
after every model is loaded. In between the kernel may give it to another server, or to a connection to elsewhere.
"""

import errno
import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

_LOWEST = 10_000
# Where the kernel's own range leaves too few below it, any port has to do.
_FEWEST = 4_000
_HIGHEST = 32_767
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 on which nobody listens, which are this process's until it ends.

    Raises:
        OSError: there are not so many.
    """
    found: list[int] = []
    candidates = list(range(_LOWEST, _end()))
    # Seeded by the system: processes that start together begin in different places.
    random.SystemRandom().shuffle(candidates)
    for port in candidates:
        if len(found) == count:
            break
        if port not in _given and _take(port):
            _given.add(port)
            if _is_free(port):
                found.append(port)
    if len(found) < count:
        raise OSError(errno.EADDRINUSE, f"no {count} ports between {_LOWEST} and {_end()} are free")
    return found


def _end() -> int:
    """The first port that the kernel gives to whoever asks for any."""
    try:
        begin = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _HIGHEST
    return begin if begin >= _LOWEST + _FEWEST else _HIGHEST


@cache
def _book(process: int) -> int:
    """File in which each byte stands for a port: whose process has locked it has the port.

    Locks of byte ranges belong to a process and go with it, however it ends; `process` tells a forked one from its
    parent.
    """
    path = Path(tempfile.gettempdir()) / f"controlmesh-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _take(port: int) -> bool:
    """Whether this process has `port` now, which no other one has that asks here."""
    try:
        fcntl.lockf(_book(os.getpid()), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
            one.listen(1)
        except OSError:
            return False
    return True
