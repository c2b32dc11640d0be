"""Keep a mesh busy for a while with requests of all dialects: nothing may grow, and no good request may fail.

    python -m benchmarks.soak                                   # half an hour
    python -m benchmarks.soak --minutes 10 --write docs/soak.md
    python -m benchmarks.soak --minutes 3 --retention 30        # a first look

The mesh has free ports and a folder of its own. Its retention is short, so that the sweep is part of what is measured.
Exits with 1 if something grew faster than its limit, or if a good request failed.
"""

import argparse
import asyncio
import contextlib
import datetime
import os
import platform
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.receiver import Heard, receiver
from benchmarks.soak_callers import MIX, Clients
from benchmarks.soak_report import HEAD, Series, rows, verdict, write
from local.settings import LocalSettings
from local.supervision import LocalMesh

RETENTION_S = 120.0
EVERY_S = 5.0
CLIENTS = 3
"""At once, each with the next request of the mix as soon as it has its answer."""
PAUSE_S = 0.2
"""Between two requests of a client: two cores are to be busy, not overrun."""
MIB = 1 << 20
MEMORY, DESCRIPTORS, THREADS, RECORDS, FILES = "memory, MB", "file descriptors", "threads", "database, MB", "files, MB"
LIMITS = {MEMORY: 1.0, DESCRIPTORS: 0.5, THREADS: 0.5, RECORDS: 1.0, FILES: 1.0}
"""Highest slope a minute."""


@dataclass
class Measured:
    """What a run has measured.

    Attributes:
        points: (process, what) -> (seconds, value).
        ended: processes that ended meanwhile.
    """

    points: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    ended: list[str] = field(default_factory=list)

    def series(self, after_s: float) -> list[Series]:
        """All of it, from `after_s` seconds on."""
        found = []
        for (process, what), points in sorted(self.points.items()):
            if kept := [point for point in points if point[0] >= after_s]:
                found.append(Series(process, what, kept, LIMITS[what]))
        return found


def _used(process: psutil.Process) -> dict[str, float]:
    """What a process uses now; nothing, if it has ended."""
    with contextlib.suppress(psutil.Error), process.oneshot():
        return {
            MEMORY: process.memory_info().rss / MIB,
            DESCRIPTORS: float(process.num_fds()),
            THREADS: float(process.num_threads()),
        }
    return {}


def _children(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def _bytes_of(folder: Path, pattern: str) -> int:
    total = 0
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _measure(mesh: LocalMesh, known: dict[str, psutil.Process], at_s: float, measured: Measured) -> None:
    for name, process in known.items():
        used = _used(process)
        if not used and name not in measured.ended:
            measured.ended.append(name)
        # Processes that decode are ended with their callers, and replaced: they are measured together.
        others = [_used(child) for child in _children(process)]
        for what, value in used.items():
            measured.points[name, what].append((at_s, value))
            if others:
                total = sum(one.get(what, 0.0) for one in others)
                measured.points[f"{name}: its children", what].append((at_s, total))
    measured.points["all gateways", RECORDS].append((at_s, _bytes_of(mesh.run, "*.db*") / MIB))
    measured.points["all gateways", FILES].append((at_s, _bytes_of(mesh.run / "assets", "**/*") / MIB))


async def _sample(mesh: LocalMesh, began: float, measured: Measured, over: asyncio.Event) -> None:
    states = await asyncio.to_thread(mesh.states)
    known = {name: psutil.Process(int(state["pid"])) for name, state in states.items()}
    while not over.is_set():
        await asyncio.to_thread(_measure, mesh, known, time.monotonic() - began, measured)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), EVERY_S)


async def _work(mesh: LocalMesh, minutes: float, heard: Heard) -> tuple[Measured, Clients]:
    measured, over, began = Measured(), asyncio.Event(), time.monotonic()
    async with Clients.open(mesh, heard.url) as clients, asyncio.TaskGroup() as group:
        group.create_task(_sample(mesh, began, measured, over))
        for number in range(CLIENTS):
            group.create_task(clients.work(number, over, PAUSE_S))
        await asyncio.sleep(60 * minutes)
        over.set()
    return measured, clients


def soak(
    minutes: float, retention_s: float, repository: Path, kept: Path | None = None
) -> tuple[Measured, Counter[str], Counter[str], list[str], int]:
    """Run once on a new mesh.

    Returns: what was measured, the requests by kind, failures by kind, the first failures in words, and webhooks.
    """
    with contextlib.ExitStack() as stack:
        folder = kept or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="controlmesh-soak-")))
        heard = stack.enter_context(receiver())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CN_")}
        environ: Mapping[str, str] = {
            **inherited,
            "OMP_NUM_THREADS": "1",
            "CN_LOG_LEVEL": "warning",
            "CN_GRACE_S": "5",
            "CN_GATEWAY_DEFAULT_MODEL": "demo",
            "CN_GATEWAY_RETENTION_S": f"{retention_s:g}",
            "CN_GATEWAY_WEBHOOK_ALLOW": "127.0.0.1:*",
        }
        settings = LocalSettings(model_repository=str(repository), run_folder=str(folder / "run")).with_free_ports()
        mesh = stack.enter_context(LocalMesh(settings, environ))
        measured, clients = asyncio.run(_work(mesh, minutes, heard))
        return measured, clients.asked, clients.failed, clients.words, len(heard.bodies)


def _facts(minutes: float, retention_s: float, asked: Counter[str], failed: Counter[str], told: int) -> dict[str, str]:
    return {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "machine": f"{psutil.cpu_count()} cores, load {psutil.getloadavg()[2]:.1f}, Python {platform.python_version()}",
        "length": f"{minutes:g} minutes",
        "retention": f"{retention_s:g} s",
        "requests": f"{sum(asked.values())}: " + ", ".join(f"{count} {name}" for name, count in asked.items()),
        "good requests that failed": f"{sum(failed.values())}",
        "webhooks received": f"{told}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument(
        "--retention", type=float, default=RETENTION_S, metavar="SECONDS", help="of results and records"
    )
    parser.add_argument("--warm", type=float, metavar="MINUTES", help="not counted; default: a third of the run")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="folder to keep logs and records in")
    parser.add_argument("--write", type=Path, metavar="FILE")
    asked_for = parser.parse_args()
    warm_s = 60 * (asked_for.minutes / 3 if asked_for.warm is None else asked_for.warm)
    console = Console()
    console.print(f"{asked_for.minutes:g} minutes of {', '.join(MIX)}")
    measured, asked, failed, words, told = soak(
        asked_for.minutes, asked_for.retention, asked_for.repository, asked_for.keep
    )
    found = measured.series(warm_s)
    broken = verdict(found)
    broken += [f"{count} of {asked[name]} failed: {name}" for name, count in failed.items()]
    broken += [f"{name} ended meanwhile" for name in measured.ended]
    facts = _facts(asked_for.minutes, asked_for.retention, asked, failed, told)
    facts["warm-up"] = f"{warm_s / 60:.1f} minutes"
    facts["broken promises"] = "; ".join(broken) or "none"
    shown = Table(*HEAD)
    for row in rows(found):
        shown.add_row(*row)
    console.print(shown)
    for name, value in (*facts.items(), *(("failure", text) for text in words)):
        console.print(f"{name}: {value}")
    if asked_for.write:
        write(asked_for.write, f"{asked_for.minutes:g} minutes", list(facts.items()), found)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
