"""A process with an engine of jobs, for tests that kill it: `python job_worker.py URL FOLDER MANNER [PLACES]`.

MANNER is "finishes", "sticks" (pictures are done once it is told to go) or "holds" (pictures are done at once, and the
end is never written). PLACES is how many pictures it makes at once.

Says JSON lines: {"open": true}; {"begun": PROMPT} and {"stopped": PROMPT} of the work; {"ending": ID} while it writes a
job's end. Reads JSON lines and answers each with one: {"submit": PROMPT, ...fields of an Order}, {"cancel": ID},
{"wait": ID}, which others may pass, and {"go": true}.
"""

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sqlalchemy import Connection

from gateway.generation import Generation
from gateway.jobs import Job, JobEngine, Order
from gateway.pipeline import Outcome, Progress
from tests.integration.job_rig import Conductor, running


def say(**line: Any) -> None:
    # One write a line: lines of several threads must not mix.
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Told(Conductor):
    """Says what it begins and what is taken from it."""

    async def __call__(self, generation: Generation, progress: Progress) -> Outcome:
        say(begun=generation.prompt)
        try:
            return await super().__call__(generation, progress)
        except asyncio.CancelledError:
            say(stopped=generation.prompt)
            raise


async def answer(jobs: JobEngine, conduct: Conductor, asked: dict[str, Any]) -> None:
    if "submit" in asked:
        generation = Generation(prompt=asked.pop("submit"), steps=4)
        say(submitted=(await jobs.submit(Order(generation, "me", **asked))).id)
    elif "cancel" in asked:
        say(cancelled=(await jobs.cancel(asked["cancel"], "me")).status)
    elif "wait" in asked:
        job = await jobs.wait(asked["wait"], "me", 120)
        say(done=job.id, status=job.status, attempts=job.attempts, pictures=len(job.pictures))
    elif "go" in asked:
        conduct.go.set()
        say(going=True)


async def main(url: str, folder: str, manner: str, places: str = "4") -> None:
    conduct = Told()
    if manner != "sticks":
        conduct.go.set()

    def outbox(connection: Connection, job: Job) -> None:
        say(ending=job.id)
        if manner == "holds":
            threading.Event().wait()

    limits = {"max_pictures": int(places), "max_waiting": 100, "outbox": outbox}
    async with running(url.partition(":")[0], url, Path(folder), conduct, **limits) as jobs:
        say(open=True)
        loop = asyncio.get_running_loop()
        answering = set()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            answering.add(asyncio.create_task(answer(jobs, conduct, json.loads(line))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
