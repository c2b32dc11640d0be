"""A process that makes one job and is killed: by itself before its webhook is sent, or by the test while it is.

python -m tests.rigs.webhook_worker KIND DATABASE FOLDER WEBHOOK before|during
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from gateway.generation.generation import Generation
from gateway.jobs.job import Order
from tests.rigs.jobs import Conductor
from tests.rigs.webhooks import site


async def main(kind: str, url: str, folder: str, webhook: str, moment: str) -> None:
    conduct = Conductor()

    async def die(job_id: str) -> None:
        # Not when the job was taken, which is written, too.
        if conduct.go.is_set():
            os.kill(os.getpid(), signal.SIGKILL)

    async with site(kind, url, Path(folder), conduct, notify=die if moment == "before" else None) as here:
        job = await here.jobs.submit(Order(Generation(prompt="a boat", steps=2), "me", "native", webhook=webhook))
        print(job.id, flush=True)
        conduct.go.set()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
