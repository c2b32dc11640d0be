"""The records' PostgreSQL crashes at work and comes back: what was taken is not lost, nobody has to be restarted."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from benchmarks.receiver import Heard, receiver
from tests.rigs.job_processes import Worker, worker
from tests.rigs.postgres import Server, postgres

BEAT = "Upkeep._beat"
"""What a process does every second, and complains of while the records are away."""
BEATS = 5
"""Of these, in more seconds than a process may be silent before it is taken for dead."""

Start = Callable[..., AbstractAsyncContextManager[Worker]]


@pytest.fixture
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture
def heard() -> Iterator[Heard]:
    with receiver() as heard:
        yield heard


@pytest.fixture
def start(server: Server, tmp_path: Path) -> Start:
    """Starts processes over the same records."""
    folder = tmp_path / "assets"
    folder.mkdir()
    return partial(worker, server.new_database(), folder)


async def away(server: Server, processes: list[Worker]) -> None:
    """Let it crash, be away for long enough that all look dead, and come back."""
    await asyncio.to_thread(server.stop)
    for process in processes:
        await process.hear("what", BEAT, times=process.count("what", BEAT) + BEATS)
    await asyncio.to_thread(server.start)


async def submit(process: Worker, webhook: str, over: asyncio.Event) -> None:
    """Submit jobs, one after the other and of both kinds, until it is over; each is answered, one way or the other."""
    for number in count():
        answers = process.count("submitted") + process.count("refused")
        process.tell(submit=f"boat {number}", webhook=webhook, at_once=number % 2 == 0)
        await process.until(lambda sofar=answers: process.count("submitted") + process.count("refused") > sofar)
        if over.is_set():
            return


@pytest.mark.parametrize("processes", [1, 2])
async def test_jobs_come_and_end_before_and_after(server: Server, start: Start, heard: Heard, processes: int) -> None:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(start("finishes")) for _ in range(processes)]
        over = asyncio.Event()
        async with asyncio.TaskGroup() as submitting:
            for each in workers:
                submitting.create_task(submit(each, heard.url, over))
            for each in workers:
                await each.hear("submitted", times=20)
            await away(server, workers)
            for each in workers:
                await each.hear("submitted", times=each.count("submitted") + 20)
            over.set()
        for each in workers:
            refused = [line for line in each.said if "refused" in line]
            assert refused and {line["retry_after_s"] for line in refused} == {2}
        taken = [line["submitted"] for each in workers for line in each.said if "submitted" in line]
        outcomes = [await workers[0].outcome(id) for id in taken]
        assert Counter(done["status"] for done in outcomes) == {"succeeded": len(taken)}

        def told() -> set[str]:
            return {body["data"]["id"] for body in heard.bodies.values()}

        assert await asyncio.to_thread(heard.until_all, lambda: told() >= set(taken), 60)
        # One is no refusal of what was written while the server died: its caller was told to send it again.
        assert Counter(body["data"]["id"] for body in heard.bodies.values()) == dict.fromkeys(told(), 1)


async def test_what_is_being_made_is_made_once(server: Server, start: Start) -> None:
    async with start("sticks") as first, start("sticks") as second:
        ids = [await each.submit(f"boat {number}", at_once=True) for number in range(2) for each in (first, second)]
        for each in (first, second):
            await each.hear("begun", times=2)
        await away(server, [first, second])
        for each in (first, second):
            each.tell(go=True)
        outcomes = [await second.outcome(id) for id in ids]
        assert [(done["status"], done["attempts"]) for done in outcomes] == [("succeeded", 1)] * 4
        assert first.count("begun") == second.count("begun") == 2
