"""tritonserver's flags that hold everywhere: on one machine and in the container."""

import secrets
from collections.abc import Iterable
from pathlib import Path

# Protocols that nothing of ours asks for in a container. shared-memory is among them unless a service shares the pod.
CLOSED = ("shared-memory", "trace", "logging")


def serving_flags(repository: Path, models: Iterable[str], host: str, grpc_port: int, metrics_port: int) -> list[str]:
    """Which models, and which doors are open: gRPC and, unless its port is 0, metrics; never inference over HTTP."""
    metrics = (
        [f"--metrics-address={host}", f"--metrics-port={metrics_port}"] if metrics_port else ["--allow-metrics=false"]
    )
    return [
        f"--model-repository={repository.absolute()}",
        # Explicit, so that a combination of controls can be registered when it is first asked for.
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in models),
        # Configurations are whole. Completing them would start one more process for every graph of a Python backend.
        "--disable-auto-complete-config",
        "--allow-http=false",
        f"--grpc-address={host}",
        f"--grpc-port={grpc_port}",
        *metrics,
    ]


def closing_flag(protocols: Iterable[str] = CLOSED) -> str:
    """Shut protocols of the gRPC service: they ask for a header whose value is made here and told to nobody."""
    return f"--grpc-restricted-protocol={','.join(protocols)}:admin-key={secrets.token_urlsafe(24)}"
