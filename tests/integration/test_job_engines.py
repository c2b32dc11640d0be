"""What every engine of jobs does: of one process, and durable on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.generation.generation import Control, Generation, Task
from gateway.generation.pipeline import Outcome, Preview, Progress
from gateway.jobs.engine import JobEngine
from gateway.jobs.job import Filter, Job, Order, Status
from mesh.errors import Conflict, DeadlineExceeded, InternalError, InvalidInput, NotFound, Overloaded, Unavailable
from tests.rigs.jobs import DURABLE, ENGINES, PICTURE, Conductor, eventually, running
from tests.rigs.postgres import Server, postgres

ASKED = Generation(
    prompt="a boat",
    seed=7,
    steps=2,
    image=PICTURE,
    controls=(
        Control(kind="canny", image=PICTURE, parameters={"low_threshold": 5.0}),
        Control(kind="qrcode", text="x"),
    ),
)
WORDS = Generation(prompt="a boat", steps=2)

Opened = Callable[..., AbstractAsyncContextManager[JobEngine]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Opened:
    """Opens engines over the same records."""
    folder = tmp_path / "assets"
    folder.mkdir()
    url = f"sqlite:///{tmp_path}/records.db"
    if kind == "postgresql":
        url = request.getfixturevalue("server").new_database()
    return lambda conduct, **limits: running(kind, url, folder, conduct, **limits)


@pytest.fixture
def conduct() -> Conductor:
    return Conductor()


@pytest.fixture
async def jobs(opened: Opened, conduct: Conductor) -> AsyncIterator[JobEngine]:
    async with opened(conduct) as engine:
        yield engine


WITHOUT_PICTURES = {
    "image": b"",
    "mask": None if ASKED.mask is None else b"",
    "controls": tuple(one if one.image is None else replace(one, image=b"") for one in ASKED.controls),
}


async def until(jobs: JobEngine, job: Job, status: Status) -> Job:
    async for now in jobs.watch(job.id, job.owner):
        if now.status == status:
            return now
    raise AssertionError(f"{job.id} never was {status}")


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_life_of_a_job(jobs: JobEngine, conduct: Conductor, at_once: bool) -> None:
    echo = {"meta": {"W": 512}, "track_id": 3}
    job = await jobs.submit(Order(replace(ASKED, samples=2), "me", "enterprise", echo, at_once=at_once, priority=7))
    assert (job.status, job.dialect, job.echo, job.priority) == (Status.QUEUED, "enterprise", echo, 7)
    assert 100_000_000 <= job.number < 1_000_000_000
    running_now = await until(jobs, job, Status.RUNNING)
    assert running_now.attempts == 1
    conduct.go.set()
    done = await jobs.wait(job.id, "me", 20)
    assert done.status == Status.SUCCEEDED
    assert [picture.seed for picture in done.pictures] == [7, 8]
    assert tuple(picture.asset for picture in done.pictures) == job.assets
    assert (done.prompt, done.negative_prompt, done.notes) == ("a boat, fine", "fog", ("a remark",))
    assert (done.step, done.steps, done.error) == (2, 2, None)
    assert done.created_at <= done.started_at <= done.finished_at
    # What was asked arrived whole, pictures and all.
    assert conduct.seen == [replace(ASKED, samples=2)]
    again = await jobs.get(job.id, "me")
    assert again == replace(done, preview=None)
    assert again.generation == replace(ASKED, samples=2, **WITHOUT_PICTURES)


@pytest.mark.parametrize("task", Task)
async def test_what_is_wanted_stands_on_record_and_is_done(jobs: JobEngine, conduct: Conductor, task: Task) -> None:
    conduct.go.set()
    steered = replace(WORDS, controls=(Control(kind="canny", image=PICTURE),))
    job = await jobs.submit(Order(steered, "me", task=task))
    done = await jobs.wait(job.id, "me", 20)
    assert (done.status, done.task, (await jobs.get(job.id, "me")).task) == (Status.SUCCEEDED, task, task)
    assert conduct.tasks == [task]
    with pytest.raises(InvalidInput, match="exactly one control"):
        Order(WORDS, "me", task=Task.HINT)


async def test_a_job_is_found_by_its_number_and_by_nobody_else(jobs: JobEngine, conduct: Conductor) -> None:
    job = await jobs.submit(Order(WORDS, "me", at_once=True))
    assert (await jobs.find(job.number, "me")).id == job.id
    with capture_logs() as said:
        for lookup in (jobs.get(job.id, "you"), jobs.find(job.number, "you")):
            with pytest.raises(NotFound):
                await lookup
    assert [(line["event"], line["owner"]) for line in said if "another owner" in line["event"]] == [
        ("another owner's job was requested", "you")
    ] * 2
    for lookup in (
        jobs.find(job.number, "you"),
        jobs.find(job.number + 1, "me"),
        jobs.get(job.id, "you"),
        jobs.get("0" * 32, "me"),
        jobs.get("\0" * 32, "me"),
        jobs.get("../records", "me"),
        jobs.find(2**40, "me"),
        jobs.cancel(job.id, "you"),
        jobs.wait(job.id, "you", 1),
    ):
        with pytest.raises(NotFound):
            await lookup
    conduct.go.set()
    assert (await jobs.wait(job.id, "me", 20)).status == Status.SUCCEEDED


@pytest.mark.parametrize("when", ["queued", "running", "finished"])
async def test_cancelling(jobs: JobEngine, conduct: Conductor, when: str) -> None:
    if when == "queued":
        # Takes all places.
        first = await jobs.submit(Order(replace(WORDS, prompt="stuck", samples=4), "me", at_once=True))
        await until(jobs, first, Status.RUNNING)
    job = await jobs.submit(Order(WORDS, "me", at_once=True))
    if when == "running":
        await conduct.until(lambda: len(conduct.begun) == 1)
    if when == "finished":
        conduct.go.set()
        await jobs.wait(job.id, "me", 20)
    now = await jobs.cancel(job.id, "me")
    assert now.status == (Status.SUCCEEDED if when == "finished" else Status.CANCELLED)
    assert (await jobs.wait(job.id, "me", 20)).status == now.status
    if when == "running":
        await conduct.until(lambda: conduct.cancelled == ["a boat"])
    if when == "queued":
        await jobs.cancel(first.id, "me")
        assert conduct.begun == ["stuck"]


async def test_the_same_id_is_the_same_job(jobs: JobEngine, conduct: Conductor) -> None:
    order = Order(WORDS, "me", id="ab" * 16, fingerprint="1")
    taken = await asyncio.gather(*(jobs.submit(order) for _ in range(20)))
    assert {job.id for job in taken} == {"ab" * 16}
    conduct.go.set()
    await jobs.wait("ab" * 16, "me", 20)
    assert conduct.begun == ["a boat"]
    assert (await jobs.submit(order)).status == Status.SUCCEEDED
    for other in (replace(order, fingerprint="2"), replace(order, owner="you")):
        with pytest.raises(Conflict):
            await jobs.submit(other)


async def test_bounds_on_what_waits(jobs: JobEngine, conduct: Conductor) -> None:
    first = await jobs.submit(Order(replace(WORDS, samples=4), "me", at_once=True))
    await until(jobs, first, Status.RUNNING)
    waiting = [await jobs.submit(Order(WORDS, "me", at_once=True)) for _ in range(2)]
    with pytest.raises(Overloaded, match="of your generations") as error:
        await jobs.submit(Order(WORDS, "me", most_waiting=2))
    assert error.value.retry_after_s
    waiting += [await jobs.submit(Order(WORDS, "you", most_waiting=2, at_once=True)) for _ in range(2)]
    with pytest.raises(Overloaded, match="already waiting"):
        await jobs.submit(Order(WORDS, "somebody"))
    assert await jobs.clear("me") == 2
    assert [(await jobs.get(job.id, job.owner)).status for job in waiting[:3]] == ["cancelled", "cancelled", "queued"]
    conduct.go.set()
    assert (await jobs.wait(waiting[3].id, "you", 20)).status == Status.SUCCEEDED


async def test_failures_are_kept_as_they_were_said(jobs: JobEngine, conduct: Conductor) -> None:
    conduct.go.set()
    for failure, kind in (
        (InvalidInput("width must be even", field="width"), InvalidInput),
        (Unavailable("away", retry_after_s=2), Unavailable),
    ):
        conduct.failures.append(failure)
        job = await jobs.submit(Order(WORDS, "me", at_once=True))
        done = await jobs.wait(job.id, "me", 20)
        assert done.status == Status.FAILED
        assert type(done.error) is kind
        assert (done.error.message, done.error.field, done.error.retry_after_s) == (
            failure.message,
            failure.field,
            failure.retry_after_s,
        )
    conduct.failures.append(KeyError("/secret/path"))
    job = await jobs.submit(Order(WORDS, "me", at_once=True))
    error = (await jobs.wait(job.id, "me", 20)).error
    assert error is not None and "secret" not in error.message


async def test_lists_go_page_by_page_from_the_newest(jobs: JobEngine, conduct: Conductor) -> None:
    conduct.go.set()
    made = []
    for index in range(5):
        job = await jobs.submit(Order(WORDS, "me", dialect="native" if index % 2 else "scenario", at_once=True))
        made.append((await jobs.wait(job.id, "me", 20)).id)
    other = await jobs.submit(Order(WORDS, "you", at_once=True))
    await jobs.wait(other.id, "you", 20)
    seen, after = [], None
    while True:
        page = await jobs.page("me", Filter(), 2, after)
        seen += [job.id for job in page.jobs]
        after = page.next
        if after is None:
            break
        assert len(page.jobs) == 2
    assert seen == made[::-1]
    assert [job.id for job in (await jobs.page("me", Filter(dialects=("native",)), 9)).jobs] == [made[3], made[1]]
    assert (await jobs.page("me", Filter(statuses=(Status.FAILED,)), 9)).jobs == ()
    third = await jobs.get(made[2], "me")
    later = await jobs.page("me", Filter(created_after=third.created_at), 9)
    assert [job.id for job in later.jobs] == made[:2:-1]
    with pytest.raises(InvalidInput, match="not a valid cursor"):
        await jobs.page("me", Filter(), 2, "x")


async def test_a_mesh_that_is_away_is_asked_again_where_nobody_waits(jobs: JobEngine, conduct: Conductor) -> None:
    conduct.go.set()
    conduct.failures += [Unavailable("away"), Overloaded("full")]
    job = await jobs.submit(Order(WORDS, "me"))
    assert (await jobs.wait(job.id, "me", 30)).status == Status.SUCCEEDED
    assert conduct.begun == ["a boat"] * 3


async def test_a_job_whose_deadline_passed_is_not_begun(opened: Opened, conduct: Conductor) -> None:
    async with opened(conduct) as jobs:
        first = await jobs.submit(Order(replace(WORDS, prompt="stuck", samples=4), "me", at_once=True))
        await until(jobs, first, Status.RUNNING)
    # Nobody is there when its time passes.
    conduct.go.set()
    async with opened(conduct, max_pictures=4) as jobs:
        late = await jobs.submit(Order(replace(WORDS, prompt="late"), "me", deadline_s=-1.0))
        done = await jobs.wait(late.id, "me", 20)
        assert isinstance(done.error, DeadlineExceeded)
        assert "late" not in conduct.begun


@pytest.mark.parametrize("kind", DURABLE)
async def test_what_a_process_leaves_another_takes_up(opened: Opened, conduct: Conductor) -> None:
    async with opened(conduct) as jobs:
        job = await jobs.submit(Order(ASKED, "me", echo={"a": 1}, at_once=True))
        await conduct.until(lambda: len(conduct.begun) == 1)
    assert conduct.cancelled == ["a boat"]
    conduct.go.set()
    async with opened(conduct) as jobs:
        done = await jobs.wait(job.id, "me", 30)
    assert (done.status, done.attempts, done.echo) == (Status.SUCCEEDED, 2, {"a": 1})
    assert conduct.seen == [ASKED, ASKED]


async def test_one_owner_s_flood_does_not_keep_others_waiting(opened: Opened, conduct: Conductor) -> None:
    async with opened(conduct, max_pictures=1, max_waiting=50) as jobs:
        first = await jobs.submit(Order(replace(WORDS, prompt="first"), "flood"))
        await conduct.until(lambda: len(conduct.begun) == 1)
        flood = [await jobs.submit(Order(replace(WORDS, prompt=f"flood {n}"), "flood")) for n in range(6)]
        urgent = await jobs.submit(Order(replace(WORDS, prompt="urgent"), "other", priority=9))
        usual = await jobs.submit(Order(replace(WORDS, prompt="usual"), "other", priority=1))
        conduct.go.set()
        for job in (first, *flood, urgent, usual):
            assert (await jobs.wait(job.id, job.owner, 60)).status == Status.SUCCEEDED
    order = [name for name in conduct.begun if name != "first"]
    assert order.index("urgent") <= 1
    assert order.index("usual") <= 3


async def test_an_end_comes_once(opened: Opened, conduct: Conductor) -> None:
    told: list[tuple[str, bool]] = []
    conduct.go.set()
    async with opened(conduct, outbox=lambda connection, job: told.append((job.id, job.is_finished))) as jobs:
        job = await jobs.submit(Order(WORDS, "me", at_once=True))
        await jobs.wait(job.id, "me", 20)
        error = {"kind": "NotFound", "message": "x", "field": None, "retry_after_s": None}
        await jobs.work.settle(job.id, {"error": error})
        await jobs.cancel(job.id, "me")
        assert (await jobs.get(job.id, "me")).status == Status.SUCCEEDED
    assert told == [(job.id, False), (job.id, True)]


async def test_a_caller_who_leaves_before_the_answer_leaves_no_work(opened: Opened, conduct: Conductor) -> None:
    async with opened(conduct) as jobs:
        for order in (Order(WORDS, "me", at_once=True), Order(WORDS, "me")):
            leaving = asyncio.create_task(jobs.submit(order))
            await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
        waiting, left = (await jobs.page("me", Filter(), 9)).jobs
        assert left.status == Status.CANCELLED
        conduct.go.set()
        assert (await jobs.wait(waiting.id, "me", 20)).status == Status.SUCCEEDED


# --- what an engine does with its turns, and with who watches ---------------------------------------------------


async def test_the_last_preview_is_kept_while_it_runs_and_no_longer(opened: Opened) -> None:
    class Steps(Conductor):
        """Goes on by two steps without a preview after the one with it."""

        async def __call__(
            self, generation: Generation, progress: Progress, task: Task = Task.PICTURES, owner: str = ""
        ) -> Outcome:
            outcome = asyncio.ensure_future(super().__call__(generation, progress, task, owner))
            await asyncio.sleep(0)
            progress(1, generation.steps, Preview(b"preview", 0, 1))
            progress(2, generation.steps, None)
            return await outcome

    conduct = Steps()
    async with opened(conduct) as jobs:
        for how in ("succeeds", "fails", "stops"):
            conduct.go.clear()
            conduct.failures = [Unavailable("gone")] if how == "fails" else []
            job = await jobs.submit(Order(WORDS, "me", at_once=True))
            async for now in jobs.watch(job.id, "me"):
                if now.step == 2:
                    break
            assert now.preview == Preview(b"preview", 0, 1), "steps without one leave it"
            assert now.prompt is None
            conduct.go.set()
            done = await (jobs.cancel(job.id, "me") if how == "stops" else jobs.wait(job.id, "me", 20))
            assert done.is_finished and done.preview is None, how


async def test_a_watcher_sees_the_progress_and_the_end(jobs: JobEngine, conduct: Conductor) -> None:
    job = await jobs.submit(Order(WORDS, "me", at_once=True))
    seen = []
    async for now in jobs.watch(job.id, "me"):
        seen.append((now.status, now.step))
        if now.step == 1:
            conduct.go.set()
    assert seen[-1] == (Status.SUCCEEDED, 2)
    assert (Status.RUNNING, 1) in seen


async def test_another_owner_can_t_watch_and_stops_nothing(jobs: JobEngine, conduct: Conductor) -> None:
    job = await jobs.submit(Order(WORDS, "me", at_once=True))
    await until(jobs, job, Status.RUNNING)
    with pytest.raises(NotFound):
        await jobs.cancel(job.id, "you")
    with pytest.raises(NotFound):
        async for _ in jobs.watch(job.id, "you"):
            raise AssertionError("seen by another owner")
    assert conduct.cancelled == []


async def test_wait_gives_the_record_of_the_moment_when_the_time_is_over(jobs: JobEngine, conduct: Conductor) -> None:
    job = await jobs.submit(Order(WORDS, "me", at_once=True))
    await until(jobs, job, Status.RUNNING)
    assert (await jobs.wait(job.id, "me", 0.05)).status == Status.RUNNING


async def test_a_cancelled_job_frees_its_turn_and_a_small_one_does_not_pass_a_large_one(
    jobs: JobEngine, conduct: Conductor
) -> None:
    first = await jobs.submit(Order(replace(WORDS, prompt="first", samples=3), "me", at_once=True))
    await until(jobs, first, Status.RUNNING)

    async def asking(prompt: str, samples: int = 1) -> Job:
        job = await jobs.submit(Order(replace(WORDS, prompt=prompt, samples=samples), "me", at_once=True))

        async def asks() -> bool:
            return (await jobs.get(job.id, "me")).attempts == 1

        await eventually(asks)
        return job

    second, third = await asking("second", samples=4), await asking("third")
    assert (await jobs.get(third.id, "me")).status == Status.QUEUED
    assert (await jobs.cancel(second.id, "me")).status == Status.CANCELLED
    await until(jobs, third, Status.RUNNING)
    conduct.go.set()
    await jobs.wait(first.id, "me", 20)
    assert conduct.begun == ["first", "third"]


async def test_no_more_pictures_than_places_in_the_order_of_asking(opened: Opened, conduct: Conductor) -> None:
    async with opened(conduct, max_waiting=8) as jobs:
        taken = []
        for index in range(6):
            taken.append(await jobs.submit(Order(replace(WORDS, prompt=str(index), samples=3), "me", at_once=True)))

            async def asks() -> bool:
                return (await jobs.get(taken[-1].id, "me")).attempts == 1

            await eventually(asks)
        conduct.go.set()
        ended = [await jobs.wait(job.id, "me", 20) for job in taken]
    assert {job.status for job in ended} == {Status.SUCCEEDED}
    assert conduct.begun == [str(index) for index in range(6)]
    assert conduct.most == 3, "two of them are more than there are places"


async def test_a_failure_frees_the_turn(jobs: JobEngine, conduct: Conductor) -> None:
    conduct.go.set()
    for _ in range(6):
        conduct.failures.append(ZeroDivisionError("0x7f /etc"))
        job = await jobs.submit(Order(replace(WORDS, samples=4), "me", at_once=True))
        failed = await jobs.wait(job.id, "me", 20)
        assert (failed.status, failed.pictures) == (Status.FAILED, ())
        assert isinstance(failed.error, InternalError)
        assert failed.error.message == "an unexpected error occurred; the log has the details"


async def test_closing_stops_what_is_made_and_takes_nothing_more(opened: Opened, conduct: Conductor) -> None:
    async with opened(conduct) as jobs:
        running_one = await jobs.submit(Order(WORDS, "me", at_once=True))
        await until(jobs, running_one, Status.RUNNING)
        await jobs.close()
        assert conduct.cancelled == ["a boat"]
        with pytest.raises(Unavailable):
            await jobs.submit(Order(WORDS, "me"))


@pytest.mark.parametrize("kind", ["process"])
async def test_what_ends_with_its_process_is_cancelled_at_its_end(opened: Opened, conduct: Conductor) -> None:
    told: list[tuple[str, Status]] = []
    async with opened(conduct, outbox=lambda connection, job: told.append((job.id, job.status))) as jobs:
        first = await jobs.submit(Order(replace(WORDS, prompt="stuck", samples=4), "me", at_once=True))
        await until(jobs, first, Status.RUNNING)
        second = await jobs.submit(Order(WORDS, "me"))
        watching = [asyncio.create_task(jobs.wait(job.id, "me", 60)) for job in (first, second)]
        await asyncio.sleep(0)
        await jobs.close()
        assert [job.status for job in await asyncio.gather(*watching)] == [Status.CANCELLED] * 2
    assert told[2:] == [(first.id, Status.CANCELLED), (second.id, Status.CANCELLED)]
