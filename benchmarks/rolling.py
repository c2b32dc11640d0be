"""Restart every replica of every service, one after another, under load: no request may fail.

    python -m benchmarks.rolling
    python -m benchmarks.rolling --a-second 2 --write docs/rolling.md

Two replicas of gateway, preprocess_svc, unet_svc and vae_svc stand behind one Envoy with the pods' bootstrap, over one
Triton and one database. A replica is told to stop, drains, ends, is started anew, and the next one follows once Envoy
sends it requests. Pictures of four steps are asked for all the time, at a rate that does not wait for answers. Exits
with 1 if one was not made.
"""

import argparse
import asyncio
import datetime
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console

from benchmarks.rolling_load import STEPS, Asked, Load, Restart, in_rotation, roll
from local.processes import REPOSITORY_KEY, ROOT, Process, processes
from local.settings import LocalSettings
from tests.rigs.envoy import running_envoy

SERVICES = ("preprocess_svc", "unet_svc", "vae_svc", "gateway")
CLUSTERS = {"preprocess_svc": "preprocess", "unet_svc": "unet", "vae_svc": "vae"}
SIZE = {"width": 128, "height": 128}
STEADY_S = 20.0
STOP_S = 60.0
PAGE = f"""# Rolling restart

Two replicas of every service stand behind one Envoy with the pods' bootstrap, over one Triton and one database. Each
replica in turn is sent SIGTERM, drains, ends and is started anew; the next one follows once Envoy sends it requests.
Pictures of {STEPS} steps are asked for meanwhile, in three dialects, each on a connection of its own, at a rate that
does not wait for answers. None may fail. Written by `make rolling`; `tests/faults/test_rolling_restart.py` does the
same with light services.
"""


@dataclass
class Started:
    """A process of the mesh, started from its row."""

    row: Process
    name: str
    ports: Mapping[str, int]
    environ: Mapping[str, str]
    log: Path
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.row.command, env=dict(self.environ), cwd=ROOT, stdout=log, stderr=asyncio.subprocess.STDOUT
            )

    async def stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            self._process.kill()
            raise


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _ports(name: str, settings: LocalSettings) -> dict[str, int]:
    if name == "gateway":
        return {"gateway": _port(settings.gateway_address), "gateway_grpc": _port(settings.gateway_grpc_address)}
    return {CLUSTERS[name]: _port(getattr(settings, f"{CLUSTERS[name]}_address"))}


async def rolling(a_second: float, repository: Path, folder: Path) -> tuple[Load, list[Restart], float]:
    """Run once: the load, the restarts, and when the first one began (time.monotonic)."""
    first = LocalSettings(model_repository=str(repository), run_folder=str(folder)).with_free_ports()
    second = first.with_free_ports()
    ports = [{name: _ports(name, one) for name in SERVICES} for one in (first, second)]
    upstreams = {cluster: [both[name][cluster] for both in ports] for name in SERVICES for cluster in ports[0][name]}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CN_")}
    async with AsyncExitStack() as stack:
        envoy = await stack.enter_async_context(running_envoy(folder, upstreams))
        shared = {**inherited, "OMP_NUM_THREADS": "1", "CN_LOG_LEVEL": "warning"}
        # In a cluster Envoy goes before the drain ends; on one machine this is the pods' own.
        shared |= {"CN_DRAIN_S": "2.5", "CN_GRACE_S": "30", "CN_GATEWAY_DEFAULT_MODEL": "demo"}
        mesh = {"CN_GATEWAY_MESH_ADDRESS": f"127.0.0.1:{envoy.mesh}"}
        rows = [{row.name: row for row in processes(one, folder, shared)} for one in (first, second)]
        of_triton = rows[0]["model_server"].environment
        triton = of_triton["CN_MODEL_SERVER_GRPC_PORT"]

        def started(name: str, which: int) -> Started:
            row = rows[which][name]
            own = {key: f"127.0.0.1:{triton}" for key in row.environment if key.endswith("_TRITON_URL")}
            # One Triton, which has one key.
            own |= {key: of_triton[key] for key in row.environment if key == REPOSITORY_KEY}
            environ = {**shared, **row.environment, **own, **mesh}
            label = f"{name} {which + 1}"
            return Started(row, label, ports[which].get(name, {}), environ, folder / f"{label}.log")

        replicas = [started(name, which) for name in SERVICES for which in (0, 1)]
        for one in (started("model_server", 0), *replicas):
            await one.start()
            stack.push_async_callback(one.stop)
            if one.name == "gateway 1":
                await in_rotation(envoy, one)
        for one in replicas:
            await in_rotation(envoy, one)
        load = Load(f"http://127.0.0.1:{envoy.edge}", a_second, SIZE)
        async with load.running():
            await asyncio.sleep(STEADY_S)
            began = time.monotonic()
            restarts = await roll(envoy, replicas)
        return load, restarts, began


def _row(name: str, asked: Sequence[Asked]) -> tuple[str, ...]:
    seconds = sorted(one.seconds for one in asked)
    highest = seconds[max(0, round(0.99 * len(seconds)) - 1)]
    failed = sum(bool(one.wrong) for one in asked)
    return name, str(len(asked)), str(failed), f"{statistics.median(seconds):.2f}", f"{highest:.2f}"


def report(load: Load, restarts: Sequence[Restart], began: float, a_second: float) -> str:
    """The page's tables."""
    machine = f"{psutil.cpu_count()} cores, load {psutil.getloadavg()[1]:.1f}, Python {platform.python_version()}"
    lines = [
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {machine}; {a_second:g} pictures of {STEPS} steps a second.",
        "",
        "| requests begun | number | failed | seconds, median | seconds, 99 of 100 |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {' | '.join(_row(name, asked))} |"
            for name, asked in (
                ("before", [one for one in load.asked if one.began < began]),
                ("during the restarts", [one for one in load.asked if one.began >= began]),
            )
            if asked
        ),
        "",
        "| restarted | seconds from SIGTERM to its next request |",
        "| --- | --- |",
        *(f"| {one.name} | {one.seconds:.1f} |" for one in restarts),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--a-second", type=float, default=2.0, metavar="PICTURES")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="folder to keep logs and records in")
    parser.add_argument("--write", type=Path, metavar="FILE")
    asked = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="controlmesh-rolling-") as scratch:
        folder = asked.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        load, restarts, began = asyncio.run(rolling(asked.a_second, asked.repository, folder))
    text = report(load, restarts, began, asked.a_second)
    console.print(text)
    for one in load.failed()[:10]:
        console.print(f"{one.began - began:+.1f} s {one.dialect}: {one.wrong}")
    if asked.write:
        asked.write.write_text(f"{PAGE}\n{text}")
    sys.exit(bool(load.failed()))


if __name__ == "__main__":
    main()
