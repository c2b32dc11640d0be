"""Measure the mesh's processes: CPU-seconds and memory, read from the system."""

import contextlib
from collections import defaultdict

import psutil

from local.supervision import LocalMesh


def tree(mesh: LocalMesh) -> dict[str, list[psutil.Process]]:
    """Name of each process -> the process and all its descendants."""
    found: dict[str, list[psutil.Process]] = {}
    for name, row in mesh.states().items():
        root = psutil.Process(row["pid"])
        found[name] = [root, *root.children(recursive=True)]
    return found


def cpu_seconds(mesh: LocalMesh) -> dict[str, float]:
    """CPU-seconds, user and system, that each part has used so far."""
    spent: dict[str, float] = defaultdict(float)
    for name, members in tree(mesh).items():
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                spent[name] += times.user + times.system
    return dict(spent)


def memory_mib(mesh: LocalMesh) -> dict[str, float]:
    """Proportional set size of each part in MiB: pages shared by several processes are divided among them."""
    return {
        name: sum(member.memory_full_info().pss for member in members) / 2**20 for name, members in tree(mesh).items()
    }
