"""Find what the model server needs in its virtual environment, or say what is missing.

`nvidia-pytriton` ships a `tritonserver` binary, the Python backend and one stub per Python version. The stub embeds
the interpreter, so it needs that interpreter's shared library and finds its packages through the environment's own
`python3` on PATH (it ignores PYTHONPATH).
"""

import json
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from model_server.platform_check import library_fault, platform_fault, version_fault

NEEDED = ("pytriton", "numpy", "onnxruntime")

_INSPECT = f"""
import importlib.util, json, sys, sysconfig
missing = [name for name in {NEEDED!r} if importlib.util.find_spec(name) is None]
print(json.dumps({{
    "version": sys.version_info[:2],
    "packages": "" if "pytriton" in missing else importlib.util.find_spec("pytriton").submodule_search_locations[0],
    "library": sysconfig.get_config_var("INSTSONAME") or "",
    "library_folder": sysconfig.get_config_var("LIBDIR") or "",
    "missing": missing,
}}))
"""


class UnfitEnvironment(Exception):
    """The model server can't run here; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class TritonEnvironment:
    """Where the parts of a Triton from PyPI are."""

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


def find_environment(folder: Path) -> TritonEnvironment:
    """Find the parts of Triton in the virtual environment at `folder`.

    Raises UnfitEnvironment if a package, the stub for its Python or Python's shared library is missing.
    """
    if fault := platform_fault(platform.system(), platform.machine()):
        raise UnfitEnvironment(fault)
    python = folder / "bin" / "python3"
    if not python.exists():
        raise UnfitEnvironment(f"{folder.name} is not a virtual environment; create it with `make setup`")
    answer = subprocess.run([python, "-I", "-c", _INSPECT], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise UnfitEnvironment(f"the Python of {folder.name} does not run: {answer.stderr.strip()[-300:]}")
    facts = json.loads(answer.stdout)
    if facts["missing"]:
        raise UnfitEnvironment(
            f"{folder.name} lacks {', '.join(facts['missing'])}; install requirements/model-server.lock (`make setup`)"
        )
    version = tuple(facts["version"])
    if fault := version_fault(version) or library_fault(version, facts["library"], facts["library_folder"]):
        raise UnfitEnvironment(f"{folder.name}: {fault}")
    packages = Path(facts["packages"]).parent
    triton = packages / "pytriton" / "tritonserver"
    stub = triton / "python_backend_stubs" / "{}.{}".format(*version) / "triton_python_backend_stub"
    if not stub.exists():
        raise UnfitEnvironment(f"{folder.name}: nvidia-pytriton has no stub for Python {version[0]}.{version[1]}")
    return TritonEnvironment(
        bin=python.parent.absolute(),
        server=triton / "bin" / "tritonserver",
        python_backend=triton / "backends" / "python",
        stub=stub,
        libraries=(packages / "nvidia_pytriton.libs", Path(facts["library_folder"])),
    )
