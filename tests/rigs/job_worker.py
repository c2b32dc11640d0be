"""A process with an engine of jobs, for tests that kill it: `python job_worker.py URL FOLDER MANNER [PLACES]`.

MANNER is "finishes", "sticks" (pictures are done once it is told to go) or "holds" (pictures are done at once, and the
end is never written). PLACES is how many pictures it makes at once.

Says JSON lines: {"open": true}; {"begun": PROMPT} and {"stopped": PROMPT} of the work; {"ending": ID} while it writes a
job's end; its warnings. Reads JSON lines and answers each with one: {"submit": PROMPT, ...fields of an Order}, or
{"refused": PROMPT, "retry_after_s": SECONDS} where it can't be taken at the moment; {"cancel": ID}; {"wait": ID}, which
others may pass; {"go": true}.
"""

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sqlalchemy import Connection

from gateway.database.connection import open_database
from gateway.egress.hosts import Egress
from gateway.generation.generation import Generation, Task
from gateway.generation.pipeline import Outcome, Progress
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Job, Order
from gateway.settings import GatewaySettings
from gateway.webhooks.webhooks import Webhooks
from gateway.workflows.dbos import DurableWorkflows
from mesh.errors import Unavailable
from mesh.telemetry import configure
from tests.rigs.jobs import Conductor, engine
from tests.rigs.webhooks import ANNOUNCERS


def say(**line: Any) -> None:
    # One write a line: lines of several threads must not mix.
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Told(Conductor):
    """Says what it begins and what is taken from it."""

    async def __call__(self, generation: Generation, progress: Progress, task: Task, owner: str) -> Outcome:
        say(begun=generation.prompt)
        try:
            return await super().__call__(generation, progress, task, owner)
        except asyncio.CancelledError:
            say(stopped=generation.prompt)
            raise


async def answer(jobs: JobEngine, conduct: Conductor, asked: dict[str, Any]) -> None:
    if "submit" in asked:
        generation = Generation(prompt=asked.pop("submit"), steps=4)
        try:
            say(submitted=(await jobs.submit(Order(generation, "me", **asked))).id, prompt=generation.prompt)
        except Unavailable as error:
            say(refused=generation.prompt, retry_after_s=error.retry_after_s)
    elif "cancel" in asked:
        say(cancelled=(await jobs.cancel(asked["cancel"], "me")).status)
    elif "wait" in asked:
        job = await jobs.wait(asked["wait"], "me", 120)
        say(done=job.id, status=job.status, attempts=job.attempts, pictures=len(job.pictures))
    elif "go" in asked:
        conduct.go.set()
        say(going=True)


async def main(url: str, folder: str, manner: str, places: str = "4") -> None:
    configure("worker", GatewaySettings(log_level="warning"))
    conduct = Told()
    if manner != "sticks":
        conduct.go.set()

    with open_database(url) as database:
        workflows = DurableWorkflows(url, int(places), poll_s=0.1)
        webhooks = Webhooks(database, workflows, Egress(allow=("127.0.0.1:*",)), ANNOUNCERS)

        def outbox(connection: Connection, job: Job) -> None:
            if job.is_finished:
                say(ending=job.id)
                if manner == "holds":
                    threading.Event().wait()
            webhooks.outbox.write(connection, job)

        told = {"outbox": outbox, "notify": webhooks.outbox.written, "deliver": webhooks.deliveries.attempt}
        limits = {"max_pictures": int(places), "max_waiting": 100}
        async with engine(database, workflows, Path(folder), conduct, **limits, **told) as jobs:
            webhooks.open()
            say(open=True)
            loop = asyncio.get_running_loop()
            answering = set()
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                answering.add(asyncio.create_task(answer(jobs, conduct, json.loads(line))))
            await webhooks.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
