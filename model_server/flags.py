"""Flags of tritonserver that are the same everywhere: on one machine and in the container."""

import secrets
from collections.abc import Iterable
from pathlib import Path

# Protocols that no service uses in a container. shared-memory is one of them unless a service shares the pod.
CLOSED = ("shared-memory", "trace", "logging")


def serving_flags(repository: Path, models: Iterable[str], host: str, grpc_port: int, metrics_port: int) -> list[str]:
    """The flags for models and endpoints: gRPC and, unless its port is 0, metrics; never inference over HTTP."""
    metrics = (
        [f"--metrics-address={host}", f"--metrics-port={metrics_port}"] if metrics_port else ["--allow-metrics=false"]
    )
    return [
        f"--model-repository={repository.absolute()}",
        # Explicit, so that a combination of controls can be registered on its first use.
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in models),
        # Configurations are complete. Auto-completion would start one more process for every graph of a Python backend.
        "--disable-auto-complete-config",
        "--allow-http=false",
        f"--grpc-address={host}",
        f"--grpc-port={grpc_port}",
        *metrics,
    ]


def closing_flag(protocols: Iterable[str] = CLOSED) -> str:
    """Disable protocols of the gRPC service: they require a header with a random value that is not shared."""
    return f"--grpc-restricted-protocol={','.join(protocols)}:admin-key={secrets.token_urlsafe(24)}"
