"""Records of generations: their order, their bounds, their owners, their end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from obstore.store import LocalStore

from gateway.files.assets import Assets
from gateway.generation.generation import Control, Generation, Task
from gateway.generation.pipeline import Outcome, Picture, Preview, Progress
from gateway.jobs.job import Job, Order, Status
from gateway.jobs.memory_engine import MemoryJobs
from gateway.jobs.places import Places
from mesh.errors import InternalError, InvalidInput, NotFound, Overloaded, Unavailable

ASKED = Generation(prompt="a boat", seed=7, steps=2, controls=(Control(kind="canny", image=b"png"),))


@dataclass
class Conductor:
    """Makes pictures when it is let; counts what it was asked and what was taken from it."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    failure: Exception | None = None
    now: int = 0
    most: int = 0

    async def __call__(self, generation: Generation, progress: Progress, task: Task) -> Outcome:
        self.begun.append(generation.prompt)
        self.now += generation.samples
        self.most = max(self.most, self.now)
        try:
            progress(1, generation.steps, Preview(b"preview", 0, 1) if generation.preview_every else None)
            await (asyncio.Event() if generation.prompt == "stuck" else self.go).wait()
            if self.failure:
                raise self.failure
            pictures = tuple(Picture(b"file", seed, 8, 16) for seed in generation.seeds())
            return Outcome(pictures, ("a remark",), f"{generation.prompt}, fine", "fog")
        except asyncio.CancelledError:
            self.cancelled.append(generation.prompt)
            raise
        finally:
            self.now -= generation.samples


@pytest.fixture
def engine(tmp_path: Any) -> Callable[..., Any]:
    @asynccontextmanager
    async def make(conduct: Any, **limits: Any) -> AsyncIterator[MemoryJobs]:
        bounds = {"max_pictures": 4, "max_waiting": 2, "max_records": 3, "retention_s": 60.0, **limits}
        jobs = MemoryJobs(conduct, Assets(LocalStore(str(tmp_path)), 60), **bounds)
        yield jobs
        await jobs.close()

    return make


async def until(jobs: MemoryJobs, job: Job, status: Status) -> Job:
    async for now in jobs.watch(job.id, job.owner):
        if now.status == status:
            return now
    raise AssertionError(f"{job.id} never was {status}")


async def test_the_life_of_a_generation(engine: Any) -> None:
    conduct = Conductor()
    async with engine(conduct) as jobs:
        job = await jobs.submit(Order(replace(ASKED, samples=2), "me"))
        assert (job.status, job.step, job.steps, len(job.assets), len(job.id)) == (Status.QUEUED, 0, 4, 2, 32)
        running = await until(jobs, job, Status.RUNNING)
        assert running.started_at and not running.finished_at
        conduct.go.set()
        done = await jobs.wait(job.id, "me", 5)
        assert done.status == Status.SUCCEEDED
        assert [(picture.seed, picture.width, picture.height) for picture in done.pictures] == [(7, 8, 16), (8, 8, 16)]
        assert [picture.asset for picture in done.pictures] == list(job.assets)
        assert done.notes == ("a remark",) and done.step == done.steps
        assert done.created_at <= done.started_at <= done.finished_at
        assert (done.prompt, done.negative_prompt) == ("a boat, fine", "fog")
        assert done.generation.controls[0].image == b"", "pictures sent in are not kept"


async def test_the_last_preview_is_kept_while_it_runs_and_no_longer(engine: Any) -> None:
    class Steps(Conductor):
        """Goes on by two steps without a preview after the one with it."""

        async def __call__(self, generation: Generation, progress: Progress, task: Task) -> Outcome:
            outcome = asyncio.ensure_future(super().__call__(generation, progress, task))
            await asyncio.sleep(0)
            progress(2, generation.steps, None)
            return await outcome

    for conduct, how in ((Steps(), "succeeds"), (Steps(failure=Unavailable("gone")), "fails"), (Steps(), "stops")):
        async with engine(conduct) as jobs:
            job = await jobs.submit(Order(replace(ASKED, preview_every=1), "me"))
            async for now in jobs.watch(job.id, "me"):
                if now.step == 2:
                    break
            assert now.preview == Preview(b"preview", 0, 1), "steps without one leave it"
            assert now.prompt is None
            conduct.go.set()
            done = await (jobs.cancel(job.id, "me") if how == "stops" else jobs.wait(job.id, "me", 5))
            assert done.is_finished and done.preview is None, how


async def test_a_watcher_sees_the_progress_and_the_end_without_asking_again(engine: Any) -> None:
    conduct = Conductor()
    async with engine(conduct) as jobs:
        job = await jobs.submit(Order(ASKED, "me"))
        seen = []
        async for now in jobs.watch(job.id, "me"):
            seen.append((now.status, now.step))
            if now.step == 1:
                conduct.go.set()
        assert seen[-1] == (Status.SUCCEEDED, 2)
        assert (Status.RUNNING, 1) in seen


async def test_wait_gives_the_record_of_the_moment_when_the_time_is_over(engine: Any) -> None:
    async with engine(Conductor()) as jobs:
        job = await jobs.submit(Order(ASKED, "me"))
        assert (await jobs.wait(job.id, "me", 0.05)).status == Status.RUNNING


async def test_another_owners_generation_is_unknown(engine: Any) -> None:
    conduct = Conductor()
    async with engine(conduct) as jobs:
        job = await jobs.submit(Order(ASKED, "me"))
        for ask in (
            jobs.get(job.id, "you"),
            jobs.cancel(job.id, "you"),
            jobs.wait(job.id, "you", 1),
            jobs.get("0", "me"),
        ):
            with pytest.raises(NotFound) as caught:
                await ask
            assert caught.value.message == "there is no such generation, or it was kept long enough"
        with pytest.raises(NotFound):
            async for _ in jobs.watch(job.id, "you"):
                raise AssertionError("seen by another owner")
        assert conduct.cancelled == []


async def test_cancelling_while_it_runs_stops_the_work(engine: Any) -> None:
    conduct = Conductor()
    async with engine(conduct) as jobs:
        job = await jobs.submit(Order(ASKED, "me"))
        await until(jobs, job, Status.RUNNING)
        assert (await jobs.cancel(job.id, "me")).status == Status.CANCELLED
        assert conduct.cancelled == ["a boat"]


async def test_cancelling_at_once_never_starts_the_work(engine: Any) -> None:
    conduct = Conductor()
    async with engine(conduct) as jobs:
        job = await jobs.submit(Order(ASKED, "me"))
        assert (await jobs.cancel(job.id, "me")).status == Status.CANCELLED
        assert conduct.begun == []


async def test_cancelling_while_it_waits_never_starts_the_work_and_frees_its_turn(engine: Any) -> None:
    conduct = Conductor()
    async with engine(conduct) as jobs:
        first = await jobs.submit(Order(replace(ASKED, prompt="first", samples=3), "me"))
        await until(jobs, first, Status.RUNNING)
        second = await jobs.submit(Order(replace(ASKED, prompt="second", samples=4), "me"))
        third = await jobs.submit(Order(replace(ASKED, prompt="third"), "me"))
        await asyncio.sleep(0)
        assert jobs.load() == (1, 2), "a small request does not pass a large one"
        assert (await jobs.cancel(second.id, "me")).status == Status.CANCELLED
        await until(jobs, third, Status.RUNNING)
        conduct.go.set()
        await jobs.wait(first.id, "me", 5)
        assert conduct.begun == ["first", "third"]


async def test_cancelling_what_is_finished_changes_nothing(engine: Any) -> None:
    conduct = Conductor()
    conduct.go.set()
    async with engine(conduct) as jobs:
        job = await jobs.submit(Order(ASKED, "me"))
        done = await jobs.wait(job.id, "me", 5)
        assert await jobs.cancel(job.id, "me") == done


async def test_no_more_pictures_than_places_and_no_more_waiting_than_allowed(engine: Any) -> None:
    conduct = Conductor()
    async with engine(conduct, max_waiting=8) as jobs:
        taken = [await jobs.submit(Order(replace(ASKED, prompt=str(index), samples=2), "me")) for index in range(8)]
        await until(jobs, taken[1], Status.RUNNING)
        assert jobs.load() == (2, 6)
        taken += [await jobs.submit(Order(ASKED, "me")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as caught:
            await jobs.submit(Order(ASKED, "me"))
        assert caught.value.retry_after_s == 5
        conduct.go.set()
        ended = [await jobs.wait(job.id, "me", 5) for job in taken]
        assert {job.status for job in ended} == {Status.SUCCEEDED}
        assert conduct.most <= 4
        assert conduct.begun[:8] == [str(index) for index in range(8)], "turns are given in the order of asking"


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (InvalidInput("kind is wrong", field="kind"), InvalidInput, "kind is wrong"),
        (ZeroDivisionError("0x7f /etc"), InternalError, "an unexpected error happened; the log has the details"),
    ],
)
async def test_a_failure_is_kept_and_frees_the_turn(engine: Any, failure: Exception, kind: type, words: str) -> None:
    conduct = Conductor(failure=failure)
    conduct.go.set()
    async with engine(conduct) as jobs:
        for _ in range(6):
            job = await jobs.submit(Order(replace(ASKED, samples=4), "me"))
            failed = await jobs.wait(job.id, "me", 5)
            assert failed.status == Status.FAILED and failed.pictures == ()
            assert type(failed.error) is kind and failed.error.message == words


async def test_the_oldest_finished_records_are_forgotten_and_unfinished_ones_never(engine: Any) -> None:
    conduct = Conductor()
    async with engine(conduct, max_records=2) as jobs:
        unfinished = await jobs.submit(Order(replace(ASKED, prompt="stuck"), "me"))
        await until(jobs, unfinished, Status.RUNNING)
        conduct.go.set()
        finished = []
        for _ in range(4):
            job = await jobs.submit(Order(ASKED, "me"))
            finished.append(await jobs.wait(job.id, "me", 5))
        await jobs.submit(Order(ASKED, "me"))
        for job in finished[:2]:
            with pytest.raises(NotFound):
                await jobs.get(job.id, "me")
        assert await jobs.get(finished[-1].id, "me")
        assert await jobs.get(unfinished.id, "me")


async def test_what_ended_last_is_remembered_longest_whenever_it_began(engine: Any) -> None:
    conduct = Conductor()
    async with engine(conduct, max_records=2) as jobs:
        slow = await jobs.submit(Order(replace(ASKED, prompt="stuck"), "me"))
        conduct.go.set()
        for _ in range(3):
            quick = await jobs.submit(Order(ASKED, "me"))
            await jobs.wait(quick.id, "me", 5)
        await jobs.cancel(slow.id, "me")
        await jobs.submit(Order(ASKED, "me"))
        assert (await jobs.get(slow.id, "me")).status == Status.CANCELLED
        with pytest.raises(NotFound):
            await jobs.get(quick.id, "me")


async def test_records_are_forgotten_after_their_time(engine: Any) -> None:
    conduct = Conductor()
    conduct.go.set()
    async with engine(conduct, retention_s=0.0) as jobs:
        job = await jobs.submit(Order(ASKED, "me"))
        await jobs.wait(job.id, "me", 5)
        await jobs.submit(Order(ASKED, "me"))
        with pytest.raises(NotFound):
            await jobs.get(job.id, "me")


async def test_closing_stops_everything_and_takes_nothing_more(engine: Any) -> None:
    conduct = Conductor()
    async with engine(conduct) as jobs:
        job = await jobs.submit(Order(ASKED, "me"))
        await until(jobs, job, Status.RUNNING)
        await jobs.close()
        assert (await jobs.get(job.id, "me")).status == Status.CANCELLED
        with pytest.raises(Unavailable):
            await jobs.submit(Order(ASKED, "me"))


async def test_a_turn_that_was_given_to_one_who_left_is_given_on() -> None:
    places = Places(1)
    await places.acquire(1)
    leaving, next_one = asyncio.create_task(places.acquire(1)), asyncio.create_task(places.acquire(1))
    await asyncio.sleep(0)
    places.release(1)
    # The turn has been given; the task learns of both in the same moment.
    leaving.cancel()
    await asyncio.wait_for(next_one, 1)
    assert leaving.cancelled() and places.waiting == 0
