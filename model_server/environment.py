"""The environment that the model server runs in: what must be there, and a plain sentence for what is not.

`nvidia-pytriton` carries a `tritonserver` binary, the Python backend and one stub per Python version. The stub embeds
the interpreter, so it needs that interpreter's shared library and finds its packages through the environment's own
`python3` on PATH (it ignores PYTHONPATH).
"""

import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("pytriton", "numpy", "onnxruntime")

_INSPECT = f"""
import importlib.util, json, sys, sysconfig
missing = [name for name in {NEEDED!r} if importlib.util.find_spec(name) is None]
print(json.dumps({{
    "version": "%d.%d" % sys.version_info[:2],
    "packages": sysconfig.get_path("platlib"),
    "library": sysconfig.get_config_var("INSTSONAME") or "",
    "library_folder": sysconfig.get_config_var("LIBDIR") or "",
    "missing": missing,
}}))
"""


class UnfitEnvironment(Exception):
    """The model server can't run here; the message names what is missing and how to get it."""


@dataclass(frozen=True)
class TritonEnvironment:
    """Where the parts of a Triton from PyPI lie."""

    bin: Path
    """Folder of the environment's interpreter; first on the stub's PATH."""
    server: Path
    """The tritonserver binary."""
    python_backend: Path
    """Folder of libtriton_python.so and triton_python_backend_utils.py."""
    stub: Path
    """The stub for the environment's Python version."""
    libraries: tuple[Path, ...]
    """Folders for LD_LIBRARY_PATH."""


def require_platform(system: str = sys.platform, machine: str = platform.machine()) -> None:
    """Raise UnfitEnvironment on anything but Linux x86-64, for which alone nvidia-pytriton has a server."""
    if (system, machine) != ("linux", "x86_64"):
        raise UnfitEnvironment(
            f"Triton's server on PyPI exists for Linux x86-64 only, and this is {system} {machine}; "
            "run the model server on Linux x86-64 or in NVIDIA's container (model_server/Dockerfile)"
        )


def find_environment(folder: Path) -> TritonEnvironment:
    """Look into the virtual environment at `folder`.

    Raises UnfitEnvironment if a package, the stub for its Python or Python's shared library is missing.
    """
    require_platform()
    python = folder / "bin" / "python3"
    if not python.exists():
        raise UnfitEnvironment(f"{folder.name} is not a virtual environment; make it with `make setup`")
    answer = subprocess.run([python, "-I", "-c", _INSPECT], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise UnfitEnvironment(f"the Python of {folder.name} does not run: {answer.stderr.strip()[-300:]}")
    facts = json.loads(answer.stdout)
    if facts["missing"]:
        raise UnfitEnvironment(
            f"{folder.name} lacks {', '.join(facts['missing'])}; install requirements/model-server.lock (`make setup`)"
        )
    library = Path(facts["library_folder"]) / facts["library"]
    if ".so" not in facts["library"] or not library.exists():
        raise UnfitEnvironment(
            f"Python {facts['version']} of {folder.name} comes without its shared library (libpython); use a Python "
            f"that has it: the system's with the package libpython{facts['version']}, uv's, or pyenv's built with "
            "--enable-shared"
        )
    packages = Path(facts["packages"])
    triton = packages / "pytriton" / "tritonserver"
    stub = triton / "python_backend_stubs" / facts["version"] / "triton_python_backend_stub"
    if not stub.exists():
        known = sorted(
            (p.name for p in stub.parent.parent.glob("3.*")), key=lambda name: int(name.split(".")[1])
        )
        raise UnfitEnvironment(
            f"nvidia-pytriton has no stub for Python {facts['version']}; it has {', '.join(known)}"
        )
    return TritonEnvironment(
        bin=python.parent.absolute(),
        server=triton / "bin" / "tritonserver",
        python_backend=triton / "backends" / "python",
        stub=stub,
        libraries=(packages / "nvidia_pytriton.libs", library.parent),
    )
