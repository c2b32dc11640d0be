"""Ports that a test's server may listen on."""

from local.free_ports import free_ports

__all__ = ["free_port", "free_ports"]


def free_port() -> int:
    """A port on loopback that nobody else is given."""
    return free_ports(1)[0]
