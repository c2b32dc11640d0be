"""Who may call which part of Triton's gRPC service: groups of its calls that need a key in a header."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

REPOSITORY = "model-repository"
"""The calls that list, load and unload models. Whoever may load can run code, so only unet_svc and the canary may."""
SHARED_MEMORY = "shared-memory"
"""The calls that register memory; only unet_svc uses them."""
CLOSED = (SHARED_MEMORY, "trace", "logging")
"""Groups that no service uses in a container; SHARED_MEMORY is one of them unless a service shares the pod."""

# Triton expects the header `triton-grpc-protocol-<name>`.
_HEADER = "triton-grpc-protocol-{}"
_REPOSITORY_KEY = "repository-key"
_ADMIN_KEY = "admin-key"


def new_key() -> str:
    """A random key, of characters that need no quoting anywhere."""
    return secrets.token_urlsafe(24)


def flags(repository_key: str, closed: Iterable[str]) -> list[str]:
    """tritonserver's flags that restrict groups of calls.

    Args:
        repository_key: the key of REPOSITORY, and of SHARED_MEMORY where that is not closed; empty: both stay open.
        closed: groups that nobody may use: their key is random and not kept.
    """
    shut = tuple(closed)
    keyed = [group for group in (REPOSITORY, SHARED_MEMORY) if group not in shut] if repository_key else []
    return [
        *([_flag(shut, _ADMIN_KEY, new_key())] if shut else []),
        *([_flag(keyed, _REPOSITORY_KEY, repository_key)] if keyed else []),
    ]


def _flag(groups: Sequence[str], name: str, key: str) -> str:
    return f"--grpc-restricted-protocol={','.join(groups)}:{name}={key}"


def repository_metadata(key: str) -> tuple[tuple[str, str], ...]:
    """gRPC metadata that opens what `flags` restricts with the same key; none for an empty key."""
    return ((_HEADER.format(_REPOSITORY_KEY), key),) if key else ()
