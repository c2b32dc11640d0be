"""Measure the overhead of jobs: the engine's delays and rate, and the gateway's share of a synchronous request.

    python -m benchmarks.jobs                                # print the tables
    python -m benchmarks.jobs --write docs/jobs_benchmark.md

Pictures come from a conductor, or from fake services, that answer at once, so that only the overhead remains. The
engines alternate round by round, so that other load affects all of them.
"""

import argparse
import asyncio
import platform
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import psutil
from obstore.store import LocalStore
from rich.console import Console
from rich.table import Table

from gateway.database.connection import open_database
from gateway.files.assets import Assets
from gateway.generation.generation import Generation, Task
from gateway.generation.pipeline import Outcome, Picture, Progress
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Job, Order
from gateway.jobs.limits import Bounds
from gateway.settings import GatewaySettings
from gateway.workflows.dbos import DurableWorkflows
from gateway.workflows.port import Workflows
from gateway.workflows.tasks import TaskWorkflows
from mesh.telemetry import configure
from tests.contract.conftest import running as running_gateway
from tests.rigs.jobs import ENGINES, PICTURE
from tests.rigs.postgres import Server, postgres

BOUNDS = """
## What bounds it

**From the queue to the start.** Each process polls the queue every 0.25 s, so a job waits half of that on average,
plus the claim and the first step. DBOS has no way to wake the poller. A shorter interval would shorten the wait and
cost idle processes more: with 0.25 s an idle gateway executes 30 statements per second and uses 3 to 4 % of a core.
Starting a job in the process that accepted it, without the queue, would be faster, but would keep it from a gateway
with free places. Jobs of waiting callers bypass the queue.

**Jobs per second.** Each poll dequeues as many jobs as the process has free places, 16 by default, and then waits:
with jobs that take no time, that is at most 64 per second, measured 39; with 8 places 27, and with 32 places and a
poll every 0.05 s no more than 47. There the single Python process is the limit: a queued job takes about 19 ms of its
CPU time, for 37 statements on SQLite and 27 on PostgreSQL, of which about 13 are the engine's own. All waiters for
jobs that other processes may run share one poll of the records every 0.25 s; when each had its own, 200 waiting
callers made it 49 and 37 statements, and 24 and 27 ms. The throughput of several gateways adds up.
"""
"""Statements and processor time were counted with 200 jobs at once, on two cores that others used as well."""
GENERATIONS = "/controlmesh/v1/generations"
HEAD = (
    "workflows",
    "queue to start, ms (p50)",
    "(p95)",
    "at once to start, ms (p50)",
    "(p95)",
    "jobs/s",
    "synchronous request, ms (p50)",
    "(p95)",
)
_WORDS = Generation(prompt="a boat", steps=1)


class Begun:
    """A conductor that answers at once, and records when it was called."""

    def __init__(self) -> None:
        self.at = 0.0

    async def __call__(self, generation: Generation, progress: Progress, task: Task, owner: str) -> Outcome:
        self.at = time.perf_counter()
        return Outcome(tuple(Picture(PICTURE, seed, 1, 1) for seed in generation.seeds()), (), "", "")


@asynccontextmanager
async def engine(url: str, folder: Path, conduct: Begun) -> AsyncIterator[JobEngine]:
    """An engine with the gateway's own limits, except for a longer queue; of one process without a URL."""
    usual = GatewaySettings()
    bounds = Bounds(usual.max_pictures, 10_000, usual.retention_s)
    with open_database(url) as database:
        places = bounds.max_pictures
        workflows: Workflows = DurableWorkflows(url, places) if url else TaskWorkflows(places)
        assets = Assets(LocalStore(str(folder)), usual.retention_s, database)
        jobs = JobEngine(database, workflows, conduct, assets, bounds)
        await jobs.open()
        yield jobs
        await jobs.close()


async def delays(jobs: JobEngine, conduct: Begun, count: int, at_once: bool) -> list[float]:
    """Milliseconds from the submission of a job to its start, one job after the other at random times."""
    found = []
    for _ in range(count):
        await asyncio.sleep(random.random() / 4)
        began = time.perf_counter()
        job = await jobs.submit(Order(_WORDS, "me", at_once=at_once))
        await jobs.wait(job.id, "me", 60)
        found.append((conduct.at - began) * 1000)
    return found


async def rate(jobs: JobEngine, count: int) -> float:
    """Jobs per second, from the first submission to the last end, with all of them in the queue."""

    async def through() -> Job:
        job = await jobs.submit(Order(_WORDS, "me"))
        return await jobs.wait(job.id, "me", 120)

    began = time.perf_counter()
    await asyncio.gather(*(through() for _ in range(count)))
    return count / (time.perf_counter() - began)


async def requests(url: str, count: int) -> list[float]:
    """Milliseconds of a synchronous request for one picture over HTTP, one after the other."""
    found = []
    async with running_gateway(database_url=url) as gateway:
        for number in range(count + 5):
            began = time.perf_counter()
            async with gateway.http.post(GENERATIONS, json={"prompt": "a boat", "steps": 1}) as response:
                await response.read()
                assert response.status == 200
            if number >= 5:
                found.append((time.perf_counter() - began) * 1000)
    return found


async def measure(kind: str, server: Server, count: int, found: dict[str, list[float]]) -> None:
    """Run one round of one engine, with new records."""
    with tempfile.TemporaryDirectory() as scratch:
        urls = {"process": "", "sqlite": f"sqlite:///{scratch}/records.db", "postgresql": server.new_database()}
        conduct = Begun()
        async with engine(urls[kind], Path(scratch), conduct) as jobs:
            await delays(jobs, conduct, 2, at_once=False)
            found["queued"] += await delays(jobs, conduct, count, at_once=False)
            found["at once"] += await delays(jobs, conduct, count, at_once=True)
            found["rate"].append(await rate(jobs, 5 * count))
        found["requests"] += await requests(urls[kind], count)


def report(rounds: int, count: int) -> list[tuple[str, ...]]:
    """A row for each engine."""
    found: dict[str, dict[str, list[float]]] = {kind: defaultdict(list) for kind in ENGINES}
    with ExitStack() as stack:
        server = stack.enter_context(postgres(durable=True))
        for _ in range(rounds):
            for kind in ENGINES:
                asyncio.run(measure(kind, server, count, found[kind]))
    return [
        (
            kind,
            *_percentiles(figures["queued"]),
            *_percentiles(figures["at once"]),
            f"{statistics.median(figures['rate']):.0f}",
            *_percentiles(figures["requests"]),
        )
        for kind, figures in found.items()
    ]


def _percentiles(values: Sequence[float]) -> tuple[str, str]:
    cuts = statistics.quantiles(values, n=20)
    return f"{statistics.median(values):.1f}", f"{cuts[18]:.1f}"


def markdown(rows: Sequence[tuple[str, ...]], rounds: int, count: int, load: float) -> str:
    """The page."""
    machine = f"{psutil.cpu_count()} cores, load {load:.1f} at the start, Python {platform.python_version()}"
    lines = [
        "# What jobs cost beside the pictures",
        "",
        f"{rounds} rounds of {count} jobs one after the other, {5 * count} at once and {count} requests, the engines",
        f"in turn; {machine}, DBOS {version('dbos')}. Records on a disk are written through to it. The queue is",
        "looked at every 0.25 s. A synchronous request passes uvicorn, the dialect, the engine and the pipeline; its",
        "fake services answer at once, from the same process. Written by `python -m benchmarks.jobs`.",
        "",
        f"| {' | '.join(HEAD)} |",
        "|" + " --- |" * len(HEAD),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
    return "\n".join(lines) + "\n" + BOUNDS


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=20, help="jobs and requests per round")
    parser.add_argument("--write", type=Path, metavar="FILE")
    asked = parser.parse_args()
    configure("benchmark", GatewaySettings(log_level="error"))
    load = psutil.getloadavg()[0]
    rows = report(asked.rounds, asked.count)
    table = Table(*HEAD)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if asked.write:
        asked.write.write_text(markdown(rows, asked.rounds, asked.count, load))


if __name__ == "__main__":
    main()
