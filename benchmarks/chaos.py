"""Forty jobs, each submitted twice, while processes of a real mesh are killed at random: nothing lost, nothing double.

    python -m benchmarks.chaos                              # SQLite, then PostgreSQL
    python -m benchmarks.chaos --database postgresql --jobs 40 --kills 6 --seed 7
    python -m benchmarks.chaos --write docs/chaos.md

Two gateways share the records. Every job is sent to both of them under the same idempotency key, by a client that
does what clients do: it sends again what was not answered. `kill -9` hits whatever process the seed says, each time a
number of jobs, drawn as well, has ended. Exits with 1 if a promise is broken.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from benchmarks.frail_mesh import PARTS, FrailMesh, frail_mesh
from benchmarks.receiver import Heard, receiver
from gateway.database import open_database
from gateway.tables import JOBS
from tests.integration.postgres import postgres

DATABASES = ("sqlite", "postgresql")
GENERATIONS = "/controlmesh/v1/generations"
STEPS = 20
IN_FLIGHT = 8
"""Jobs that the client has under way, so that there is work whenever something dies."""
ENDED = ("succeeded", "failed", "cancelled")
PATIENCE_S = 300.0
_PAUSE_S = 0.25
_AGAIN = frozenset({429, 500, 502, 503, 504})
"""What a client answers by sending the request again."""


@dataclass(frozen=True)
class Kill:
    """One `kill -9`: when, whom, how many jobs had ended."""

    at_s: float
    part: str
    ended: int


@dataclass
class Run:
    """What happened.

    Attributes:
        ids: of the jobs, as both submissions of each were answered.
        records: last answer about each job.
        refused: answers, or missing ones, that made the client send a request again.
        broken: promises that were not kept, in words.
    """

    database: str
    seed: int
    jobs: int
    ids: list[tuple[str, str]] = field(default_factory=list)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: int = 0
    kills: list[Kill] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0
    rows: list[Any] = field(default_factory=list)
    webhooks: int = 0
    calls: int = 0
    broken: list[str] = field(default_factory=list)


class Client:
    """Sends jobs and follows them to their end, whatever happens on the way."""

    def __init__(self, run: Run, mesh: FrailMesh) -> None:
        self._run = run
        self._mesh = mesh
        self._http = httpx2.AsyncClient(timeout=20)
        self._places = asyncio.Semaphore(IN_FLIGHT)
        self.ended = 0
        self.news = asyncio.Condition()

    async def close(self) -> None:
        await self._http.aclose()

    async def through(self, number: int, webhook: str) -> None:
        """One job: sent to both gateways, looked at until its end, its pictures fetched."""
        async with self._places:
            await self._through(number, webhook)
        async with self.news:
            self.ended += 1
            self.news.notify_all()

    async def _through(self, number: int, webhook: str) -> None:
        body = {"prompt": "a red star", "seed": number, "steps": STEPS, "width": 128, "height": 128, "webhook": webhook}
        headers = {"Idempotency-Key": f"chaos-{self._run.seed}-{number}"}
        answers = await asyncio.gather(
            *(self._asked("POST", f"{url}{GENERATIONS}?wait=0", json=body, headers=headers) for url in self._mesh.urls)
        )
        first, second = (answer.json()["id"] for answer in answers)
        self._run.ids.append((first, second))
        edge = self._mesh.urls[0]
        while True:
            record = (await self._asked("GET", f"{edge}{GENERATIONS}/{first}")).json()
            if record["status"] in ENDED:
                break
            await asyncio.sleep(_PAUSE_S)
        self._run.records[first] = record
        for image in record["images"]:
            content = (await self._asked("GET", edge + httpx2.URL(image["url"]).path)).content
            self._run.pictures += content.startswith(b"\x89PNG")

    async def _asked(self, method: str, url: str, **request: Any) -> httpx2.Response:
        """The answer, as often as it takes."""
        while True:
            try:
                answer = await self._http.request(method, url, **request)
                if answer.status_code not in _AGAIN:
                    return answer.raise_for_status()
            except httpx2.TransportError:
                pass
            self._run.refused += 1
            await asyncio.sleep(_PAUSE_S * (1 + random.random()))


async def _kill(run: Run, mesh: FrailMesh, client: Client, kills: int) -> None:
    """Kill at random, as long as there is work."""
    # Of its own, so that the seed says whom it hits, however often clients ask.
    chance = random.Random(run.seed)
    began = time.monotonic()
    for wanted in sorted(chance.randrange(int(run.jobs * 0.8) + 1) for _ in range(kills)):
        async with client.news:
            await client.news.wait_for(lambda wanted=wanted: client.ended >= wanted)
        part = chance.choice(PARTS)
        await asyncio.sleep(chance.random())
        ended, at_s = client.ended, time.monotonic() - began
        await asyncio.to_thread(mesh.kill, part)
        run.kills.append(Kill(at_s, part, ended))
        # Half of the time the next one may die before this one is back.
        if chance.random() < 0.5:
            await asyncio.to_thread(mesh.wait_ready)


async def _work(run: Run, mesh: FrailMesh, heard: Heard, kills: int) -> None:
    client = Client(run, mesh)
    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE_S + 10 * run.jobs), asyncio.TaskGroup() as tasks:
            tasks.create_task(_kill(run, mesh, client, kills))
            for number in range(run.jobs):
                tasks.create_task(client.through(number, heard.url))
    except TimeoutError:
        run.broken.append("not every job ended in time")
    finally:
        await client.close()
    run.seconds = time.monotonic() - began
    await asyncio.to_thread(heard.until, run.jobs, 60.0)


def _check(run: Run, heard: Heard, kills: int) -> None:
    """Say which promises were broken."""
    told = Counter(body["data"]["id"] for body in heard.bodies.values())
    run.webhooks, run.calls = len(heard.bodies), heard.calls
    distinct = {id for pair in run.ids for id in pair}
    promises = {
        "every job was taken, both times as the same one": len(run.ids) == run.jobs == len(distinct),
        "every job succeeded": all(record["status"] == "succeeded" for record in run.records.values())
        and len(run.records) == run.jobs,
        "every job's picture is there": run.pictures == run.jobs,
        "there is one record a job": sorted(row.id for row in run.rows) == sorted(distinct),
        "every end was told, under one id": told == dict.fromkeys(distinct, 1),
        "as many were killed as asked": len(run.kills) == kills,
    }
    run.broken += [promise for promise, kept in promises.items() if not kept]
    failures = Counter(record["error"]["detail"] for record in run.records.values() if record["error"])
    run.broken += [f"{count} failed: {detail}" for detail, count in failures.items()]


def chaos(database: str, jobs: int, kills: int, seed: int, repository: Path = Path("model_repository")) -> Run:
    """One run on a mesh of its own."""
    run = Run(database, seed, jobs)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="controlmesh-chaos-")))
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
            "CN_GATEWAY_MAX_WAITING": str(10 * jobs),
            "CN_GATEWAY_WEBHOOK_ALLOW": "127.0.0.1:*",
        }
        with frail_mesh(repository, scratch / "run", environ) as mesh:
            asyncio.run(_work(run, mesh, heard, kills))
        with open_database(url) as records:
            columns = (JOBS.c.id, JOBS.c.status, JOBS.c.attempts, JOBS.c.created_at, JOBS.c.started_at)
            run.rows = list(records.run_here(lambda connection: connection.execute(select(*columns)).all()))
        _check(run, heard, kills)
    return run


def _tables(run: Run) -> list[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
    """Title, head and rows of what is told of a run."""
    again = Counter(row.attempts for row in run.rows)
    succeeded = sum(record["status"] == "succeeded" for record in run.records.values())
    facts = {
        "jobs, each submitted twice": run.jobs,
        "distinct jobs": len({id for pair in run.ids for id in pair}),
        "succeeded": succeeded,
        "pictures fetched": run.pictures,
        "distinct webhooks delivered": run.webhooks,
        "deliveries repeated under the same id": run.calls - run.webhooks,
        "jobs begun once, twice, more often": f"{again[1]}, {again[2]}, {sum(again.values()) - again[1] - again[2]}",
        "requests that the client sent again": run.refused,
        "seconds in all": f"{run.seconds:.0f}",
        "broken promises": "; ".join(run.broken) or "none",
    }
    kills = [(f"{kill.at_s:.1f}", kill.part, str(kill.ended)) for kill in run.kills]
    return [
        (f"{run.database}, seed {run.seed}", ("what", "figure"), [(name, str(value)) for name, value in facts.items()]),
        (f"{run.database}: who was killed", ("second", "process", "jobs ended by then"), kills),
    ]


def _markdown(runs: Sequence[Run]) -> str:
    lines = [
        "# Chaos",
        "",
        "Every job is submitted twice under one idempotency key, to two gateways that share the records; processes are",
        "killed with `kill -9` in between. Written by `make chaos`; `benchmarks/chaos.py` says what is counted.",
    ]
    for run in runs:
        for title, head, rows in _tables(run):
            lines += ["", f"## {title}", "", f"| {' | '.join(head)} |"]
            lines += ["|" + " --- |" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--database", choices=DATABASES, action="append", help="which; both if left out")
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="what happens when, and to whom")
    parser.add_argument("--write", type=Path, metavar="FILE")
    asked = parser.parse_args()
    console = Console()
    runs = []
    for database in asked.database or DATABASES:
        console.print(f"{database}: {asked.jobs} jobs, {asked.kills} kills, seed {asked.seed}")
        runs.append(run := chaos(database, asked.jobs, asked.kills, asked.seed))
        for title, head, rows in _tables(run):
            table = Table(*head, title=title)
            for row in rows:
                table.add_row(*row)
            console.print(table)
    if asked.write:
        asked.write.write_text(_markdown(runs))
    sys.exit(any(run.broken for run in runs))


if __name__ == "__main__":
    main()
