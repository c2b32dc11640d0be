"""Measure how long an owner waits while another one floods the queue, over its fair share of the places.

    python -m benchmarks.fairness                                # print the table
    python -m benchmarks.fairness --write docs/fairness.md

In the first table a conductor stands in for the mesh: each job takes the same time, whatever else runs, so that only
waiting is measured. The flood keeps all waiting places taken that it may have, with a hundred callers who ask again at
once. The second table is of whole meshes (fairness_steps.py).
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from obstore.store import LocalStore
from rich.console import Console
from rich.table import Table

from benchmarks import fairness_steps
from benchmarks.soak_report import table as table_of
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
from mesh.errors import MeshError
from mesh.telemetry import configure
from tests.rigs.jobs import PICTURE

PLACES, JOB_S, BATCH = 4, 0.5, 16
CALLERS = 100
HEAD = (
    "workflows",
    "flood",
    "other owner",
    "refused",
    "one job: wait over a job's time, p50",
    "worst",
    f"{BATCH} jobs: time over fair share",
)
TEXT = f"""# Fair shares

Made by `make bench-fairness`; see `benchmarks/fairness.py`. Two owners and {PLACES} places; each job takes {JOB_S} s
and one place. One owner floods with {CALLERS} callers who ask again as soon as they are answered or refused. The other
sends one job at a time, and then {BATCH} at once. Its fair share is half of the places: alone with these, {BATCH} jobs
take {BATCH * JOB_S / (PLACES / 2):g} s. A single job can't start before a place is free, which is at most one job's
time (1.0 in the table). "Refused" counts the other owner's requests that were refused.

"""


class Paced:
    """A conductor whose jobs take the same time; remembers when each began, by prompt."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    async def __call__(self, generation: Generation, progress: Progress, task: Task, owner: str) -> Outcome:
        self.at[generation.prompt] = time.perf_counter()
        await asyncio.sleep(JOB_S)
        return Outcome(tuple(Picture(PICTURE, seed, 1, 1) for seed in generation.seeds()), (), "", "")


@asynccontextmanager
async def engine(url: str, folder: Path, conduct: Paced) -> AsyncIterator[JobEngine]:
    """An engine with the gateway's own limits, except for fewer places; of one process without a URL."""
    usual = GatewaySettings()
    bounds = Bounds(PLACES, usual.max_waiting, usual.retention_s, usual.owner_waiting, usual.owner_records)
    with open_database(url) as database:
        workflows: Workflows = DurableWorkflows(url, PLACES) if url else TaskWorkflows(PLACES)
        jobs = JobEngine(database, workflows, conduct, Assets(LocalStore(str(folder)), 3600, database), bounds)
        await jobs.open()
        yield jobs
        await jobs.close()


async def flood(jobs: JobEngine, at_once: bool) -> None:
    """Ask for a job, wait for its end, and ask again; until cancelled."""
    while True:
        try:
            job = await jobs.submit(Order(Generation(prompt="flood", seed=1), "flood", at_once=at_once))
            if at_once:
                await jobs.wait(job.id, "flood", 600)
        except MeshError:
            await asyncio.sleep(0.05)


class Other:
    """The owner whose waiting is measured."""

    def __init__(self, jobs: JobEngine, conduct: Paced, at_once: bool) -> None:
        self._jobs, self._conduct, self._at_once = jobs, conduct, at_once
        self.refused = 0
        self._sent = 0

    async def send(self) -> float:
        """Have a job made; seconds from the request to its start."""
        self._sent += 1
        prompt, began = f"other {self._sent}", time.perf_counter()
        while True:
            try:
                order = Order(Generation(prompt=prompt, seed=1), "other", at_once=self._at_once)
                job: Job = await self._jobs.submit(order)
                break
            except MeshError:
                self.refused += 1
                await asyncio.sleep(0.05)
        await self._jobs.wait(job.id, "other", 600)
        return self._conduct.at[prompt] - began


async def measure(kind: str, flood_waits: bool, other_waits: bool, singles: int) -> tuple[str, ...]:
    """A row of the table."""
    conduct = Paced()
    with tempfile.TemporaryDirectory() as folder:
        url = "" if kind == "process" else f"sqlite:///{folder}/records.db"
        async with engine(url, Path(folder), conduct) as jobs:
            callers = [asyncio.create_task(flood(jobs, flood_waits)) for _ in range(CALLERS)]
            await asyncio.sleep(4 * JOB_S)
            other = Other(jobs, conduct, other_waits)
            waits = [await other.send() / JOB_S for _ in range(singles)]
            began = time.perf_counter()
            await asyncio.gather(*(other.send() for _ in range(BATCH)))
            share = (time.perf_counter() - began) / (BATCH * JOB_S / (PLACES / 2))
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
            for owner in ("flood", "other"):
                await jobs.clear(owner)
    how = {True: "waits", False: "queued"}
    figures = f"{statistics.median(waits):.2f}", f"{max(waits):.2f}", f"{share:.2f}"
    return kind, how[flood_waits], how[other_waits], str(other.refused), *figures


async def table(singles: int) -> list[tuple[str, ...]]:
    """All rows: in one process and in SQLite, with callers who wait and with queued jobs."""
    both = (False, True)
    return [await measure(kind, one, two, singles) for kind in ("process", "sqlite") for one in both for two in both]


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    parser.add_argument("--singles", type=int, default=10, help="single jobs of the other owner")
    asked = parser.parse_args()
    configure("fairness", GatewaySettings(log_level="error"))
    rows = asyncio.run(table(asked.singles))
    steps = fairness_steps.table(asked.singles)
    for head, found in ((HEAD, rows), (fairness_steps.HEAD, steps)):
        shown = Table(*head)
        for row in found:
            shown.add_row(*row)
        Console().print(shown)
    if asked.write:
        first, second = "\n".join(table_of(HEAD, rows)), "\n".join(table_of(fairness_steps.HEAD, steps))
        asked.write.write_text(f"{TEXT}{first}\n{fairness_steps.TEXT}{second}\n")


if __name__ == "__main__":
    main()
