"""Whether this machine and this Python can run the mesh: `python3 model_server/platform_check.py`.

Runs before anything is installed, so it imports the standard library alone and keeps to syntax that old Pythons read.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import sysconfig

OLDEST, NEWEST = (3, 11), (3, 13)

# Of the nvidia-pytriton wheel (manylinux_2_35).
GLIBC = (2, 35)

# nvidia-pytriton brings the interpreter's library for these versions itself.
LIBRARY_INCLUDED = ((3, 13),)


def platform_fault(system: str, machine: str) -> str:
    """Why Triton's server from PyPI can't run on such a machine, or an empty text."""
    if (system, machine) == ("Linux", "x86_64"):
        return ""
    return (
        f"Triton's server on PyPI exists for Linux x86-64 only, and this is {system} {machine}. "
        "Use Linux x86-64, or run the model server in NVIDIA's container (model_server/Dockerfile)."
    )


def version_fault(version: tuple[int, ...]) -> str:
    """Why a Python of this (major, minor) is not supported, or an empty text."""
    if OLDEST <= version <= NEWEST:
        return ""
    return "Python {}.{} to {}.{} is needed, and this is {}.{}. Name another one: make PYTHON=python3.12 ...".format(
        *OLDEST, *NEWEST, *version
    )


def glibc_fault(version: str) -> str:
    """Why this C library (a text such as "2.36") is too old, or an empty text."""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not numbers or numbers >= GLIBC:
        return ""
    return (
        "glibc {}.{} or newer is needed for Triton's server, and this is {} (Debian 12, Ubuntu 22.04 have it).".format(
            *GLIBC, version
        )
    )


def library_fault(version: tuple[int, ...], library: str, folder: str) -> str:
    """Why Triton's Python backend can't embed this Python, or an empty text.

    Args:
        version: (major, minor).
        library: file name of the interpreter's shared library, empty if it was built without.
        folder: where that file lies.
    """
    if version in LIBRARY_INCLUDED or (".so" in library and os.path.exists(os.path.join(folder, library))):
        return ""
    return (
        "this Python {0}.{1} comes without its shared library, which Triton's Python backend loads. Use the system's "
        "Python with the package libpython{0}.{1}, uv's, or pyenv's built with --enable-shared.".format(*version)
    )


def faults() -> list[str]:
    """Everything that stands in the way here, one sentence each."""
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
