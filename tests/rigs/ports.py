"""Ports that a test's server may listen on."""

import socket


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listened on a moment ago."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def free_port() -> int:
    """A port on loopback that nobody listened on a moment ago."""
    return free_ports(1)[0]
