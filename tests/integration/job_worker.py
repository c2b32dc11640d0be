"""A process with an engine of jobs, for tests that kill it: `python job_worker.py URL FOLDER finishes|sticks`.

Prints a JSON line when it is open, and one for every job that it begins. Reads JSON lines: {"submit": PROMPT, "id": ID}
submits a job of the owner "me", {"cancel": ID} cancels one; each is answered with a line.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway.generation import Generation
from gateway.jobs import Order
from gateway.pipeline import Outcome, Progress
from tests.integration.job_rig import Conductor, running


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


class Told(Conductor):
    """Says what it begins and what is taken from it."""

    async def __call__(self, generation: Generation, progress: Progress) -> Outcome:
        say(begun=generation.prompt)
        try:
            return await super().__call__(generation, progress)
        except asyncio.CancelledError:
            say(stopped=generation.prompt)
            raise


async def main(url: str, folder: str, manner: str) -> None:
    conduct = Told()
    if manner == "finishes":
        conduct.go.set()
    async with running(url.partition(":")[0], url, Path(folder), conduct) as jobs:
        say(open=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            asked = json.loads(line)
            if "submit" in asked:
                order = Order(Generation(prompt=asked["submit"], steps=4), "me", id=asked.get("id", ""))
                say(submitted=(await jobs.submit(order)).id)
            elif "cancel" in asked:
                say(cancelled=(await jobs.cancel(asked["cancel"], "me")).status)


asyncio.run(main(*sys.argv[1:]))
