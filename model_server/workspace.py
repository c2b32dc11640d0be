"""Create and remove the files of one run of Triton: a folder of backends, and shared memory.

Their names contain the id of the process that created them, so that the next start can remove what a killed one left
behind.
"""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from model_server.environment import TritonEnvironment

BACKEND = Path(__file__).with_name("backends") / "onnxruntime"
SHARED_MEMORY = Path("/dev/shm")

_FOLDER = "controlmesh-triton-"
_SHM = "cn_triton_"


def shm_prefix(pid: int) -> str:
    """Prefix of the names of all shared memory of the server that process `pid` started."""
    return f"{_SHM}{pid}_"


def make_backends(environment: TritonEnvironment, defaults: Mapping[str, str]) -> Path:
    """Create a folder for --backend-directory: the Python backend, its stub, and our backend `onnxruntime`.

    Files are copied, because Triton refuses a library outside the backend's own folder.

    Args:
        defaults: values of `parameters` that a graph's configuration does not set.
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
    """Remove a server's shared memory; returns the names removed."""
    removed = []
    for path in root.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)
        removed.append(path.name)
    return sorted(removed)


def sweep(root: Path = SHARED_MEMORY, temporary: Path | None = None) -> list[str]:
    """Kill model processes whose launcher is dead; remove its folders and shared memory. Returns the names removed."""
    temporary = temporary or Path(tempfile.gettempdir())
    for pid in _stubs(temporary):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    removed = []
    for path in root.glob(f"{_SHM}*"):
        if _abandoned(path, path.name.removeprefix(_SHM).partition("_")[0]):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    for path in temporary.glob(f"{_FOLDER}*"):
        if _abandoned(path, _launcher(path.name)):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path.name)
    return sorted(removed)


def _stubs(temporary: Path) -> Iterator[int]:
    """Model processes whose launcher is dead: one that was loading a graph when Triton exited does not notice."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            program = Path(os.fsdecode((process / "cmdline").read_bytes().partition(b"\0")[0]))
            folder = next((parent for parent in program.parents if parent.parent == temporary), None)
            if folder is None or not folder.name.startswith(_FOLDER):
                continue
            if _abandoned(process, _launcher(folder.name)):
                yield int(process.name)


def _launcher(folder: str) -> str:
    return folder.removeprefix(_FOLDER).partition("-")[0]


def _abandoned(path: Path, pid: str) -> bool:
    try:
        return path.stat().st_uid == os.getuid() and not Path(f"/proc/{int(pid)}").exists()
    except (OSError, ValueError):
        return False
