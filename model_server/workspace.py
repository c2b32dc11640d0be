"""The files that one run of Triton makes: a folder of backends, and shared memory; both gone when it ends.

Their names hold the number of the process that made them, so that the next start can sweep away what a killed one
left behind.
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
    """End processes of launchers that no longer run, and remove their folders and shared memory; the names they had."""
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
    """Processes of graphs whose launcher is gone: those that were loading one when Triton ended do not notice."""
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
