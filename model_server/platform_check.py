"""Whether this machine and this Python can run the mesh: `python3 model_server/platform_check.py`.

Runs before anything is installed, so it imports only the standard library and uses syntax that old Pythons can parse.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import sysconfig

OLDEST, NEWEST = (3, 11), (3, 13)

# Required by the nvidia-pytriton wheel (manylinux_2_35).
GLIBC = (2, 35)

# nvidia-pytriton ships the interpreter's library for these versions itself.
LIBRARY_INCLUDED = ((3, 13),)


def platform_fault(system: str, machine: str) -> str:
    """Why Triton's server from PyPI can't run on this kind of machine; empty if it can."""
    if (system, machine) == ("Linux", "x86_64"):
        return ""
    return (
        f"Triton's server on PyPI exists for Linux x86-64 only; this is {system} {machine}. "
        "Use Linux x86-64, or run the model server in NVIDIA's container (model_server/Dockerfile)."
    )


def version_fault(version: tuple[int, ...]) -> str:
    """Why a Python of this (major, minor) is not supported; empty if it is."""
    if OLDEST <= version <= NEWEST:
        return ""
    return "Python {}.{} to {}.{} is needed; this is {}.{}. Choose another one: make PYTHON=python3.12 ...".format(
        *OLDEST, *NEWEST, *version
    )


def glibc_fault(version: str) -> str:
    """Why this version of glibc, such as "2.36", is too old; empty if it is not."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not numbers or numbers >= GLIBC:
        return ""
    return "Triton's server needs glibc {}.{} or newer; this is {} (Debian 12 and Ubuntu 22.04 have it).".format(
        *GLIBC, version
    )


def library_fault(version: tuple[int, ...], library: str, folder: str) -> str:
    """Why Triton's Python backend can't embed this Python; empty if it can.

    Args:
        version: (major, minor).
        library: file name of the interpreter's shared library, empty if it was built without.
        folder: the folder of that file.
    """
    if version in LIBRARY_INCLUDED or (".so" in library and os.path.exists(os.path.join(folder, library))):
        return ""
    return (
        "this Python {0}.{1} comes without its shared library, which Triton's Python backend loads. Use the system's "
        "Python with the package libpython{0}.{1}, uv's, or pyenv's built with --enable-shared.".format(*version)
    )


def faults() -> list[str]:
    """Everything that prevents a setup here, one sentence each."""
    version = sys.version_info[:2]
    library = sysconfig.get_config_var("INSTSONAME") or ""
    folder = sysconfig.get_config_var("LIBDIR") or ""
    found = [platform_fault(platform.system(), platform.machine()), version_fault(version)]
    if not any(found):
        found += [glibc_fault(platform.libc_ver()[1]), library_fault(version, library, folder)]
        if importlib.util.find_spec("ensurepip") is None:
            found.append("this Python can't make virtual environments; install python{}.{}-venv.".format(*version))
    return [fault for fault in found if fault]


if __name__ == "__main__":
    for fault in faults():
        print("cannot set up here: " + fault, file=sys.stderr)
    sys.exit(1 if faults() else 0)
