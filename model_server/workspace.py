"""The files that one run of Triton makes: a folder of backends, and shared memory; both gone when it ends.

Their names hold the number of the process that made them, so that the next start can sweep away what a killed one
left behind.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from model_server.environment import TritonEnvironment

BACKEND = Path(__file__).with_name("backends") / "onnxruntime"
SHARED_MEMORY = Path("/dev/shm")

_FOLDER = "controlmesh-triton-"
_SHM = "cn_triton_"


def shm_prefix(pid: int) -> str:
    """Beginning of the names of all shared memory that the server started by process `pid` makes."""
    return f"{_SHM}{pid}_"


def make_backends(environment: TritonEnvironment, defaults: Mapping[str, str]) -> Path:
    """A new folder for --backend-directory: the Python backend, its stub, and ours named `onnxruntime`.

    Files are copied, because Triton refuses a library that lies outside the backend's own folder.

    Args:
        defaults: `parameters` for graphs whose configuration is silent.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-"))
    python = folder / "python"
    shutil.copytree(environment.python_backend, python, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(environment.stub, python)
    ours = folder / "onnxruntime"
    shutil.copytree(BACKEND, ours, ignore=shutil.ignore_patterns("__pycache__"))
    (ours / "defaults.json").write_text(json.dumps(dict(defaults)))
    return folder


def remove_shared_memory(prefix: str, root: Path = SHARED_MEMORY) -> list[str]:
    """Unlink what a server left in shared memory; the names it had."""
    removed = []
    for path in root.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)
        removed.append(path.name)
    return sorted(removed)


def sweep(root: Path = SHARED_MEMORY, temporary: Path | None = None) -> list[str]:
    """Remove folders and shared memory of launchers that no longer run; the names they had."""
    removed = []
    for path in root.glob(f"{_SHM}*"):
        if _abandoned(path, path.name.removeprefix(_SHM).partition("_")[0]):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    for path in (temporary or Path(tempfile.gettempdir())).glob(f"{_FOLDER}*"):
        if _abandoned(path, path.name.removeprefix(_FOLDER).partition("-")[0]):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path.name)
    return sorted(removed)


def _abandoned(path: Path, pid: str) -> bool:
    try:
        return path.stat().st_uid == os.getuid() and not Path(f"/proc/{int(pid)}").exists()
    except (OSError, ValueError):
        return False
