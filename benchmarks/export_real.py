"""Export models of real size with random weights, and measure the time and the memory that it takes.

    python -m benchmarks.export_real                              # print the table
    python -m benchmarks.export_real --write docs/export_real.md
    python -m benchmarks.export_real --models sd15                # one of them

Needs 20 GB of disk for as long as it runs, and removes all of it, also when it fails or is interrupted.
"""

import argparse
import multiprocessing
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from families.manifest import read_manifest

ROOT = Path(__file__).parents[1]
DISK = 20 * 10**9
SAMPLED_S = 0.1


@dataclass(frozen=True, slots=True)
class Aim:
    """A model of `benchmarks.real_models`: what it is, and what its export may take at most."""

    what: str
    peak: float
    seconds: float


AIMS = {
    "sd15": Aim("Stable Diffusion 1.5 with one ControlNet", peak=5e9, seconds=15 * 60),
    "sdxl-unet": Aim("SDXL's UNet, other parts small", peak=10e9, seconds=15 * 60),
}

PAGE = """# Exports at real size

Written by `make export-real`. The weights are random, in half precision and in shards, as the hub has them. An export
is the whole of `python -m export`: every shard checked, every graph traced, its weights widened and written, all of it
computed by torch and by ONNX Runtime and compared, for each graph by itself and for a step of the whole ensemble. Peak
is the resident memory of the process and its children, pages of files that are mapped among it.

"""
HEAD = (
    "| model | parameters | files of weights, GB | graphs, GB | minutes (aim) | peak, GB (aim) "
    "| largest difference to torch |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one export took: seconds and bytes."""

    seconds: float
    peak: int


def measured(command: list[str]) -> Measured:
    """Run a command. Raises CalledProcessError if it fails; what it started has ended in either case."""
    began = time.monotonic()
    child = psutil.Popen(command, cwd=ROOT)
    try:
        peak = 0
        while child.poll() is None:
            peak = max(peak, _resident(child))
            time.sleep(SAMPLED_S)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return Measured(time.monotonic() - began, peak)


def _resident(root: psutil.Process) -> int:
    """Resident bytes of a process and its descendants: the highest so far of `root`, which samples may miss."""
    try:
        lines = Path(f"/proc/{root.pid}/status").read_text().splitlines()
        highest = sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))
        return highest + sum(one.memory_info().rss for one in root.children(recursive=True))
    except (OSError, psutil.NoSuchProcess):
        return 0


def exported(name: str, folder: Path) -> str:
    """Make the model `name` in `folder`, export it, remove it; returns its row."""
    source, repository = folder / "source", folder / "repository"
    try:
        print(f"{name}: making random weights", file=sys.stderr, flush=True)
        parameters = _in_a_process_of_its_own(name, source)
        print(f"{name}: exporting", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "export", str(source), "--name", "real", "--repository", str(repository)]
        taken = measured(command)
        card = read_manifest(repository, "real")
        worst = max(made.max_abs_error for graph, made in card.graphs.items() if not graph.endswith("_vae_decoder"))
        aim = AIMS[name]
        return (
            f"| {aim.what} | {parameters / 1e9:.2f} G | {_bytes(source) / 1e9:.1f} | {_bytes(repository) / 1e9:.1f} "
            f"| {taken.seconds / 60:.1f} ({aim.seconds / 60:g}) | {taken.peak / 1e9:.1f} ({aim.peak / 1e9:g}) "
            f"| {worst:.1e} |"
        )
    finally:
        shutil.rmtree(source, ignore_errors=True)
        shutil.rmtree(repository, ignore_errors=True)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _in_a_process_of_its_own(name: str, source: Path) -> int:
    """Make the weights where their memory ends with them."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return int(pool.apply(_make, (name, source)))


def _make(name: str, source: Path) -> int:
    from benchmarks.real_models import MODELS

    return MODELS[name](source)


def _stop(number: int, frame: FrameType | None) -> Any:
    sys.exit(128 + number)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--models", default=",".join(AIMS), help="separated by commas: %(default)s")
    parser.add_argument(
        "--folder", type=Path, help="where to make and remove them; default: the system's own for these"
    )
    parser.add_argument("--write", type=Path, metavar="FILE")
    asked = parser.parse_args()
    chosen = asked.models.split(",")
    if unknown := sorted(set(chosen) - AIMS.keys()):
        parser.error(f"no such model: {', '.join(unknown)}; there are {', '.join(AIMS)}")
    # As for Ctrl-C: whoever ends it leaves nothing behind.
    signal.signal(signal.SIGTERM, _stop)
    with tempfile.TemporaryDirectory(prefix="controlmesh-real-", dir=asked.folder) as scratch:
        if shutil.disk_usage(scratch).free < DISK:
            parser.error(f"{DISK / 1e9:g} GB must be free in {Path(scratch).parent}; give another --folder")
        load = psutil.getloadavg()[0]
        rows = [exported(name, Path(scratch)) for name in chosen]
    memory = psutil.virtual_memory().total / 1e9
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "diffusers", "onnxruntime"))
    told = (
        f"{date.today()}, {os.cpu_count()} cores, {memory:.0f} GB of memory, load average at the start {load:.1f}, "
        f"Python {platform.python_version()}, {packages}; one thread."
    )
    text = "\n".join([told, "", *HEAD, *rows]) + "\n"
    print(text)
    if asked.write:
        asked.write.write_text(PAGE + text)


if __name__ == "__main__":
    main()
