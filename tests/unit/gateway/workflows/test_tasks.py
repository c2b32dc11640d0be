"""Workflows of one process: whose turn it is, how many there are, what is tried again, what is left at the end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gateway.workflows.port import MOST_AN_OWNER, Outcome, Patience
from gateway.workflows.tasks import TaskWorkflows
from mesh.errors import Unavailable
from mesh.telemetry import request_id


@dataclass
class Steps:
    """Makes what it is let; remembers what it was asked, and fails as often as it is told."""

    go: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    begun: list[str] = field(default_factory=list)
    settled: list[tuple[str, Outcome]] = field(default_factory=list)
    attempted: list[tuple[str, int]] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    asked_by: list[str] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30), self.news:
            await self.news.wait_for(holds)

    async def make(self, job_id: str) -> Outcome:
        self.asked_by.append(request_id.get())
        await self._note(self.begun, job_id)
        self._fail("make")
        await self.go.acquire()
        return {"of": job_id}

    async def settle(self, job_id: str, outcome: Outcome) -> None:
        self._fail("settle")
        await self._note(self.settled, (job_id, outcome))

    async def deliver(self, id: str, number: int) -> None:
        await self._note(self.attempted, (id, number))
        self._fail("deliver")
        await self.go.acquire()

    async def _note(self, notes: list, note: object) -> None:  # type: ignore[type-arg]
        async with self.news:
            notes.append(note)
            self.news.notify_all()

    def _fail(self, step: str) -> None:
        if self.failures.get(step, 0) > 0:
            self.failures[step] -= 1
            raise Unavailable("the records are away")


@asynccontextmanager
async def opened(steps: Steps, concurrency: int = 1, patience: Patience | None = None) -> AsyncIterator[TaskWorkflows]:
    workflows = TaskWorkflows(concurrency, patience=patience or Patience(3, 0.0, 1.0))
    await workflows.open(steps, steps.deliver)
    try:
        yield workflows
    finally:
        await workflows.close()


@pytest.fixture
def steps() -> Steps:
    return Steps()


def let(steps: Steps, count: int) -> None:
    for _ in range(count):
        steps.go.release()


async def test_the_queue_goes_by_priority_and_then_by_the_order_of_asking(steps: Steps) -> None:
    async with opened(steps) as workflows:
        await workflows.enqueue("first", "first", "me", 5)
        await steps.until(lambda: steps.begun == ["first"])
        for id, priority in (("a", 7), ("b", 3), ("c", 7), ("d", 3), ("e", 1)):
            await workflows.enqueue(id, id, "me", priority)
        let(steps, 6)
        await steps.until(lambda: len(steps.settled) == 6)
    assert steps.begun == ["first", "e", "b", "d", "a", "c"]
    assert steps.settled[0] == ("first", {"of": "first"})


async def test_no_more_of_the_queue_at_once_than_there_may_be_and_what_is_started_passes_it(steps: Steps) -> None:
    async with opened(steps, concurrency=2) as workflows:
        for id in "abc":
            await workflows.enqueue(id, id, "me", 1)
        await workflows.start("now", "now")
        await steps.until(lambda: len(steps.begun) == 3)
        assert sorted(steps.begun) == ["a", "b", "now"]
        let(steps, 1)
        await steps.until(lambda: len(steps.settled) == 1)
        let(steps, 3)
        await steps.until(lambda: len(steps.settled) == 4)


async def test_the_same_id_is_one_workflow(steps: Steps) -> None:
    async with opened(steps, concurrency=4) as workflows:
        for _ in range(3):
            await workflows.enqueue("a", "a", "me", 1)
            await workflows.start("b", "b")
            await workflows.put("msg", 0, "ann", 0.0)
        await workflows.put("msg", 0, "ann", 0.0, again="x")
        let(steps, 9)
        await steps.until(lambda: len(steps.settled) == 2 and len(steps.attempted) == 2)
    assert sorted(steps.begun) == ["a", "b"]


@pytest.mark.parametrize("step", ["make", "settle"])
async def test_a_step_that_raises_is_tried_again_and_what_was_made_is_not_made_again(steps: Steps, step: str) -> None:
    steps.failures[step] = 2
    let(steps, 1)
    async with opened(steps) as workflows:
        await workflows.start("a", "a")
        await steps.until(lambda: steps.settled == [("a", {"of": "a"})])
    assert steps.begun == (["a"] * 3 if step == "make" else ["a"])


async def test_what_was_tried_too_often_is_abandoned_and_can_be_begun_again(steps: Steps) -> None:
    steps.failures["make"] = 3
    let(steps, 1)
    async with opened(steps) as workflows:
        await workflows.enqueue("a", "a", "me", 1)
        await steps.until(lambda: len(steps.begun) == 3)
        async with asyncio.timeout(30):
            while not await workflows.abandoned(["a"]):  # noqa: ASYNC110
                await asyncio.sleep(0)
        await workflows.begin_again("a")
        assert await workflows.abandoned(["a", "never"]) == ["never"]
        await steps.until(lambda: len(steps.settled) == 1)


async def test_who_waits_and_who_works_is_not_abandoned(steps: Steps) -> None:
    async with opened(steps) as workflows:
        await workflows.enqueue("a", "a", "me", 1)
        await workflows.enqueue("b", "b", "me", 1)
        await workflows.put("msg", 2, "ann", 1000.0)
        await steps.until(lambda: steps.begun == ["a"])
        assert await workflows.abandoned(["a", "b", "msg", "c"]) == ["c"]
        assert await workflows.revive(["somebody"]) == 0


async def test_a_slow_owner_does_not_keep_others_waiting(steps: Steps) -> None:
    async with opened(steps) as workflows:
        for number in range(MOST_AN_OWNER + 2):
            await workflows.put(f"slow{number}", 0, "slow", 0.0)
        await workflows.put("other", 0, "ann", 0.0)
        await steps.until(lambda: ("other", 0) in steps.attempted)
        assert len(steps.attempted) == MOST_AN_OWNER + 1
        let(steps, 1)
        await steps.until(lambda: len(steps.attempted) == MOST_AN_OWNER + 2)


async def test_an_attempt_that_raises_is_tried_again(steps: Steps) -> None:
    steps.failures["deliver"] = 2
    async with opened(steps) as workflows:
        await workflows.put("msg", 1, "ann", 0.0)
        await steps.until(lambda: steps.attempted == [("msg", 1)] * 3)


async def test_a_job_is_no_part_of_the_request_that_asks_for_it(steps: Steps) -> None:
    token = request_id.set("another's")
    async with opened(steps) as workflows:
        await workflows.start("a", "a")
        await steps.until(lambda: steps.begun == ["a"])
    request_id.reset(token)
    assert steps.asked_by == [""]


async def test_nothing_outlives_the_end(steps: Steps) -> None:
    others = asyncio.all_tasks()
    async with opened(steps) as workflows:
        await workflows.enqueue("a", "a", "me", 1)
        await workflows.enqueue("b", "b", "me", 1)
        await workflows.put("msg", 0, "ann", 1000.0)
        await steps.until(lambda: steps.begun == ["a"])
        own = asyncio.all_tasks() - others
        await workflows.close()
        assert own and all(task.done() for task in own)
        await workflows.start("c", "c")
        await workflows.put("msg", 1, "ann", 0.0)
        assert await workflows.abandoned(["c", "msg"]) == ["c", "msg"]
    assert steps.begun == ["a"] and steps.settled == []


class Orderly(Steps):
    """Ends in order when it is stopped, as jobs do."""

    async def make(self, job_id: str) -> Outcome:
        try:
            return await super().make(job_id)
        except asyncio.CancelledError:
            return {"stopped": True}


async def test_jobs_that_end_in_order_do_not_hold_up_the_end() -> None:
    steps = Orderly()
    async with opened(steps, concurrency=2) as workflows:
        for name in "abc":
            await workflows.enqueue(name, name, "me", 1)
        await steps.until(lambda: steps.begun == ["a", "b"])
        # Not by asyncio.timeout, whose cancellation would be taken along, too.
        _, unfinished = await asyncio.wait({asyncio.create_task(workflows.close())}, timeout=10)
        assert not unfinished
    assert steps.begun == ["a", "b"], "what waited is not begun"
