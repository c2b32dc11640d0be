"""One sentence for who starts a command with a Python that has none of its packages. Imports nothing but the standard
library, so that it works there."""

import sys
from typing import NoReturn

_OWN = frozenset({"controlmesh_client", "demo", "export", "families", "gateway", "local", "mesh", "model_server"})


def refuse(missing: ModuleNotFoundError, program: str) -> NoReturn:
    """End the process with what to run instead; re-raise if the missing module is one of ours, which is a bug.

    Args:
        missing: the error of the import.
        program: what was run after `python -m`.
    """
    name = (missing.name or "").partition(".")[0]
    if name in _OWN:
        raise missing
    sys.exit(
        f"{name} is not installed for {sys.executable.rpartition('/')[2]}, so this is not the project's environment; "
        f"run .venv/bin/python -m {program}, or: make setup"
    )
