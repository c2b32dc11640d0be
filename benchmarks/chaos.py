"""Run jobs while processes of a real mesh are killed at random: no job may be lost or duplicated.

    python -m benchmarks.chaos                              # forty jobs, six killed, on SQLite, then on PostgreSQL
    python -m benchmarks.chaos --database postgresql --jobs 40 --kills 6 --seed 7
    python -m benchmarks.chaos --jobs 200 --minutes 5 --every 3 --dialects native,enterprise,scenario,grpc
    python -m benchmarks.chaos --write docs/chaos.md

Two gateways share the records. Clients retry requests that were not answered; see benchmarks/chaos_callers.py. The seed
determines which process gets `kill -9` and after how many finished jobs; with --minutes, a process is killed every few
seconds for that time, over which the submissions are spread. Exits with 1 if a guarantee is broken.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from benchmarks.chaos_callers import DIALECTS, Programs
from benchmarks.chaos_report import Accepted, Kill, Run, tables, write
from benchmarks.frail_mesh import PARTS, FrailMesh, frail_mesh
from benchmarks.receiver import Heard, receiver
from gateway.database.connection import open_database
from gateway.database.tables import JOBS
from gateway.jobs.job import FINAL
from tests.rigs.postgres import postgres

DATABASES = ("sqlite", "postgresql")
IN_FLIGHT = 8
"""Concurrent jobs of the clients without --minutes, so that there is work whenever a process dies."""
PATIENCE_S = 300.0
_TELLING_S = 60.0
"""How long to wait for webhooks after all jobs have ended."""
_LOOK_S = 0.5


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    Attributes:
        jobs: number of jobs.
        dialects: the dialects of the jobs, in turn.
        kills: number of kills, each after some jobs have ended.
        minutes: time over which jobs are submitted and a process is killed every `every_s` seconds; 0: use `kills`.
        seed: determines which process is killed when.
    """

    jobs: int = 40
    dialects: tuple[str, ...] = DIALECTS[:1]
    kills: int = 6
    minutes: float = 0.0
    every_s: float = 3.0
    seed: int = 0

    def command(self) -> str:
        """The command that repeats it."""
        timed = f"--minutes {self.minutes:g} --every {self.every_s:g}" if self.minutes else f"--kills {self.kills}"
        dialects = f" --dialects {','.join(self.dialects)}" if self.dialects != DIALECTS[:1] else ""
        return f"python -m benchmarks.chaos --jobs {self.jobs} {timed}{dialects}"

    def title(self) -> str:
        """The title of its tables."""
        if self.minutes:
            return f"{self.jobs} jobs, one process killed every {self.every_s:g} s for {self.minutes:g} minutes"
        return f"{self.jobs} jobs, {self.kills} processes killed"


class Clients:
    """Submits all jobs and follows each to its end, whatever happens."""

    def __init__(self, run: Run, plan: Plan, programs: Programs) -> None:
        self._run = run
        self._plan = plan
        self._programs = programs
        self._places = asyncio.Semaphore(plan.jobs if plan.minutes else IN_FLIGHT)
        self.ended = 0
        self.news = asyncio.Condition()

    async def through(self, number: int) -> None:
        """Run one job: submit it in time, poll it until its end, fetch its picture."""
        await asyncio.sleep(60 * self._plan.minutes * number / self._plan.jobs)
        async with self._places:
            await self._through(number)
        async with self.news:
            self.ended += 1
            self.news.notify_all()

    async def _through(self, number: int) -> None:
        dialect = self._plan.dialects[number % len(self._plan.dialects)]
        ids = await self._programs.submitted(dialect, number, f"chaos-{self._plan.seed}-{number}")
        seen = await self._programs.ended(dialect, ids[0])
        pictures = [await self._programs.picture(path) for path in seen.pictures]
        fetched = [content.startswith(b"\x89PNG") for content in pictures] == [True]
        self._run.accepted.append(Accepted(dialect, ids, seen, fetched))


async def _kill(run: Run, plan: Plan, mesh: FrailMesh, clients: Clients) -> None:
    """Kill processes at random while there is work."""
    # A separate generator, so that the seed determines the kills however often clients poll.
    chance = random.Random(plan.seed)
    began = time.monotonic()
    for wanted in sorted(chance.randrange(int(plan.jobs * 0.8) + 1) for _ in range(plan.kills)):
        async with clients.news:
            await clients.news.wait_for(lambda wanted=wanted: clients.ended >= wanted)  # type: ignore[misc]
        part = chance.choice(PARTS)
        await asyncio.sleep(chance.random())
        ended, at_s = clients.ended, time.monotonic() - began
        await asyncio.to_thread(mesh.kill, part)
        run.kills.append(Kill(at_s, part, ended))
        # Half of the time the next process may die before this one is back.
        if chance.random() < 0.5:
            await asyncio.to_thread(mesh.wait_ready)


async def _kill_in_time(run: Run, plan: Plan, mesh: FrailMesh, clients: Clients) -> None:
    """Kill one process every few seconds."""
    chance = random.Random(plan.seed)
    began = time.monotonic()
    for number in range(1, int(60 * plan.minutes / plan.every_s) + 1):
        await asyncio.sleep(began + number * plan.every_s - time.monotonic())
        # A process that is down can't be killed; then the next one in the sample is.
        part = await asyncio.to_thread(mesh.kill_first, chance.sample(PARTS, len(PARTS)))
        run.kills.append(Kill(time.monotonic() - began, part, clients.ended))


async def _work(run: Run, plan: Plan, mesh: FrailMesh, heard: Heard, url: str) -> None:
    programs = await Programs.open(mesh, plan.dialects, heard.url)
    clients = Clients(run, plan, programs)
    began = time.monotonic()
    try:
        async with asyncio.timeout(60 * plan.minutes + PATIENCE_S + 10 * plan.jobs), asyncio.TaskGroup() as tasks:
            tasks.create_task((_kill_in_time if plan.minutes else _kill)(run, plan, mesh, clients))
            for number in range(plan.jobs):
                tasks.create_task(clients.through(number))
        due = _due(await _all_ended(url), plan)
        await asyncio.to_thread(heard.until_all, lambda: _told(heard).keys() >= due, _TELLING_S)
    except TimeoutError:
        run.broken.append("not every job ended in time")
    finally:
        await programs.close()
    run.seconds = time.monotonic() - began
    run.unanswered, run.asked_again = programs.unanswered, programs.asked_again


async def _all_ended(url: str) -> list[Any]:
    """The records, once all are final, including those that no client knows."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            rows = await asyncio.to_thread(_rows, url)
            if all(row.status in FINAL for row in rows):
                return rows
            await asyncio.sleep(_LOOK_S)


def _rows(url: str) -> list[Any]:
    """The current records."""
    columns = (JOBS.c.id, JOBS.c.number, JOBS.c.dialect, JOBS.c.status, JOBS.c.attempts)
    with open_database(url) as records:
        return list(records.run_here(lambda connection: connection.execute(select(*columns)).all()))


def _job(path: str, body: Mapping[str, Any]) -> str:
    """The dialect's id of the job in a webhook that came to `path`."""
    if path == "/enterprise":
        return str(body["id"])
    return str(body["payload"]["job"]["jobId"] if path == "/scenario" else body["data"]["id"])


def _name(row: Any, dialect: str) -> str:
    """A dialect's id of a record's job."""
    return {"enterprise": str(row.number), "scenario": f"job_{row.id}"}.get(dialect, str(row.id))


def _told(heard: Heard) -> Counter[tuple[str, str]]:
    """The webhooks received: (path, job) -> number of webhook ids."""
    with heard.news:
        return Counter((path, _job(path, heard.bodies[id])) for id, path in heard.paths.items())


def _due(rows: Sequence[Any], plan: Plan) -> set[tuple[str, str]]:
    """The (path, job) pairs for which these records must have sent webhooks."""
    due = {(f"/{row.dialect}", _name(row, row.dialect)) for row in rows}
    # Scenario's endpoint receives webhooks of all jobs of its owner.
    return due | {("/scenario", _name(row, "scenario")) for row in rows} if "scenario" in plan.dialects else due


def _check(run: Run, plan: Plan, heard: Heard) -> None:
    """Record the broken guarantees in `run.broken`."""
    run.webhooks, run.calls = len(heard.bodies), heard.calls
    known = {(row.dialect, _name(row, row.dialect)): row for row in run.rows}
    keyed = [job for job in run.accepted if len(job.ids) == 2]
    accepted = {(job.dialect, id) for job in run.accepted for id in job.ids}
    unknown = Counter(dialect for dialect, _ in known.keys() - accepted)
    promises = {
        "every job was accepted": len(run.accepted) == plan.jobs,
        "under one key, it was the same job both times": all(len(set(job.ids)) == 1 for job in keyed),
        "two accepted jobs are two": len({job.ids[0] for job in run.accepted}) == len(run.accepted),
        "every accepted job is on record": accepted <= known.keys(),
        "every accepted job succeeded, as its program sees it": all(j.seen.end == "succeeded" for j in run.accepted),
        "every picture is there": all(job.has_picture for job in run.accepted),
        "every record succeeded": all(row.status == "succeeded" for row in run.rows),
        "there is no record but of accepted jobs and of submissions without an answer": all(
            count <= run.unanswered[dialect] and dialect not in {job.dialect for job in keyed}
            for dialect, count in unknown.items()
        ),
        "every end was told, under one id at each place": _told(heard) == dict.fromkeys(_due(run.rows, plan), 1),
        "as many were killed as asked": len(run.kills)
        == (int(60 * plan.minutes / plan.every_s) if plan.minutes else plan.kills),
    }
    run.broken += [promise for promise, kept in promises.items() if not kept]
    failures = Counter(job.seen.why for job in run.accepted if job.seen.end != "succeeded")
    run.broken += [f"{count} failed: {why}" for why, count in failures.items()]


def chaos(database: str, plan: Plan, repository: Path = Path("model_repository"), kept: Path | None = None) -> Run:
    """Run once on a new mesh; its logs and records stay in `kept`, if given."""
    run = Run(database, plan.seed, f"{plan.command()} --seed {plan.seed} --database {database}")
    with ExitStack() as stack:
        scratch = kept or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="controlmesh-chaos-")))
        url = f"sqlite:///{scratch}/records.db"
        if database == "postgresql":
            url = stack.enter_context(postgres(durable=True)).new_database()
        heard = stack.enter_context(receiver())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CN_")}
        environ = {
            **inherited,
            "OMP_NUM_THREADS": "1",
            "CN_LOG_LEVEL": "warning",
            "CN_DRAIN_S": "0.2",
            "CN_GRACE_S": "2",
            "CN_GATEWAY_DATABASE_URL": url,
            "CN_GATEWAY_MAX_WAITING": str(10 * plan.jobs),
            "CN_GATEWAY_WEBHOOK_ALLOW": "127.0.0.1:*",
        }
        with frail_mesh(repository, scratch / "run", environ) as mesh:
            asyncio.run(_work(run, plan, mesh, heard, url))
        run.rows = _rows(url)
        _check(run, plan, heard)
    return run


def _dialects(text: str) -> tuple[str, ...]:
    named = tuple(text.split(","))
    if unknown := [name for name in named if name not in DIALECTS]:
        raise argparse.ArgumentTypeError(f"unknown dialect {unknown[0]!r}; use {', '.join(DIALECTS)}")
    return named


def main() -> None:
    usual = Plan()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--database", choices=DATABASES, action="append", help="database to use; default: both")
    parser.add_argument("--jobs", type=int, default=usual.jobs)
    parser.add_argument("--kills", type=int, default=usual.kills)
    parser.add_argument(
        "--minutes", type=float, default=usual.minutes, help="kill processes for this long, in place of --kills"
    )
    parser.add_argument("--every", type=float, default=usual.every_s, metavar="SECONDS", help="with --minutes")
    parser.add_argument("--dialects", type=_dialects, default=usual.dialects, help=f"some of {','.join(DIALECTS)}")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10_000), help="seed that determines which process is killed when"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="folder to keep logs and records in; with one --database"
    )
    parser.add_argument("--write", type=Path, metavar="FILE")
    asked = parser.parse_args()
    plan = Plan(asked.jobs, asked.dialects, asked.kills, asked.minutes, asked.every, asked.seed)
    console = Console()
    runs = []
    for database in asked.database or DATABASES:
        console.print(f"{database}: {plan.title()}, seed {plan.seed}")
        runs.append(run := chaos(database, plan, kept=asked.keep))
        for title, head, rows in tables(run):
            table = Table(*head, title=title)
            for row in rows:
                table.add_row(*row)
            console.print(table)
    if asked.write:
        write(asked.write, plan.title(), runs)
    sys.exit(any(run.broken for run in runs))


if __name__ == "__main__":
    main()
