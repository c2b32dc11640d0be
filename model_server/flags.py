"""Flags of tritonserver that are the same everywhere: on one machine and in the container."""

from collections.abc import Iterable
from pathlib import Path


class KeyMissing(Exception):
    """The file of the repository key is missing or empty."""


def read_key(file: Path | None) -> str:
    """The key in `file`; empty for None. Raises KeyMissing."""
    if file is None:
        return ""
    try:
        key = file.read_text().strip()
    except OSError as error:
        raise KeyMissing(f"--repository-key-file {file} can't be read: {error.strerror}") from None
    if not key:
        raise KeyMissing(f"--repository-key-file {file} is empty")
    return key


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
