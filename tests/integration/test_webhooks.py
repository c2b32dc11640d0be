"""Webhooks: told once to whom it concerns, however often it takes, and to nobody who should not be reached."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import REGISTRY
from sqlalchemy import Connection, event
from standardwebhooks import Webhook, WebhookVerificationError
from structlog.testing import capture_logs

from gateway.generation.generation import Generation
from gateway.jobs.job import Job, Order, Status
from gateway.webhooks.announcement import Announcement, Link
from gateway.webhooks.places import MOST_A_HOST
from gateway.webhooks.records import DeliveryStatus
from gateway.webhooks.timing import SCHEDULE_S
from mesh.errors import InvalidInput, NotFound, Overloaded
from tests.rigs.jobs import DURABLE, ENGINES, Conductor
from tests.rigs.postgres import Server, postgres
from tests.rigs.webhooks import HURRIED, Days, Receiver, Site, receiving, site

BOAT = Generation(prompt="a boat", steps=2, seed=7)
ENDS = ("generation.completed", "generation.failed", "generation.cancelled")
ROOT = Path(__file__).resolve().parents[2]

Opened = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres() as server:
        yield server


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def conduct() -> Conductor:
    conduct = Conductor()
    conduct.go.set()
    return conduct


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    kind = request.getfixturevalue("kind")
    if kind == "postgresql":
        return str(request.getfixturevalue("server").new_database())
    return f"sqlite:///{tmp_path}/records.db"


@pytest.fixture
def opened(tmp_path: Path, conduct: Conductor) -> Opened:
    """Opens a site of one process."""
    return lambda **options: site("process", "", tmp_path, conduct, **options)


async def done(here: Site, owner: str = "me", webhook: str | None = None, prompt: str = "a boat") -> Job:
    job = await here.jobs.submit(Order(replace(BOAT, prompt=prompt), owner, "native", webhook=webhook))
    return await here.jobs.wait(job.id, owner, 30)


# --- what is sent, by every engine ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENGINES)
async def test_a_job_s_end_is_told_until_it_is_heard_under_one_id(
    kind: str, url: str, receiver: Receiver, conduct: Conductor, tmp_path: Path
) -> None:
    receiver.answers["/hook"] = [500, 503, 200]
    async with site(kind, url, tmp_path, conduct, schedule_s=HURRIED) as here:
        job = await done(here, webhook=receiver.url("/hook"))
        calls = await receiver.until(3)
        (delivery,) = await here.settled(job.id)
        secret = await here.webhooks.secret_of("me")
        other = await here.webhooks.secret_of("you")
    assert job.status == Status.SUCCEEDED
    assert (delivery.status, delivery.attempts, delivery.last_answer) == (DeliveryStatus.DELIVERED, 3, "200")
    assert (delivery.next_at, delivery.event, delivery.job_id) == (None, "generation.completed", job.id)
    assert {call.id for call in calls} == {delivery.id} and delivery.id.startswith("msg_")
    assert len({call.body for call in calls}) == 1
    body = json.loads(calls[0].body)
    assert (body["type"], body["data"]["id"], body["data"]["status"]) == ("generation.completed", job.id, "succeeded")
    assert [image["url"] for image in body["data"]["images"]] == list(job.assets)
    assert calls[0].headers["content-type"] == "application/json"
    for call in calls:
        assert Webhook(secret).verify(call.body, call.headers) == body
        with pytest.raises(WebhookVerificationError):
            Webhook(other).verify(call.body, call.headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(call.body.replace(b"boat", b"goat"), call.headers)


@pytest.mark.parametrize("kind", ENGINES)
async def test_every_end_is_told_once_with_its_own_event(
    kind: str, url: str, receiver: Receiver, conduct: Conductor, tmp_path: Path
) -> None:
    async with site(kind, url, tmp_path, conduct) as here:
        conduct.failures.append(InvalidInput("that is no picture", field="image"))
        failed = await done(here, webhook=receiver.url("/failed"))
        stuck = await here.jobs.submit(Order(replace(BOAT, prompt="stuck"), "me", webhook=receiver.url("/cancelled")))
        for _ in range(3):
            await here.jobs.cancel(stuck.id, "me")
        for job in (failed, stuck):
            await here.settled(job.id)
        bodies = {call.path: json.loads(call.body) for call in receiver.calls}
    assert len(receiver.calls) == 2
    assert bodies["/failed"]["type"] == "generation.failed"
    assert bodies["/failed"]["data"]["error"]["detail"] == "that is no picture"
    assert bodies["/cancelled"]["type"] == "generation.cancelled"


@pytest.mark.parametrize("kind", ENGINES)
async def test_a_repeated_settlement_tells_nothing_twice(
    kind: str, url: str, receiver: Receiver, conduct: Conductor, tmp_path: Path
) -> None:
    async with site(kind, url, tmp_path, conduct) as here:
        job = await done(here, webhook=receiver.url("/hook"))
        (first,) = await here.settled(job.id)
        # As a workflow that is taken up again, and one of a process that thinks it has the job.
        await here.jobs.work.settle(job.id, {"error": {"kind": "InternalError", "message": "zombie"}})
        await here.database.run(lambda connection: here.webhooks.outbox.write(connection, job))
        await here.webhooks.outbox.written(job.id)
        assert [delivery.id for delivery in await here.webhooks.of_job(job.id)] == [first.id]
        # One that is sent after all of it shows that there is nothing left to come.
        await here.settled((await done(here, webhook=receiver.url("/last"))).id)
    assert [call.path for call in receiver.calls] == ["/hook", "/last"]


# --- when it is sent again --------------------------------------------------------------------------------------


async def test_pauses_are_those_of_the_schedule(opened: Opened, receiver: Receiver) -> None:
    receiver.answers["/hook"] = [500, 500, 500, 200]
    days = Days()
    async with opened(clock=days.clock(), sleep=days.sleep, jitter=lambda: 0.0) as here:
        job = await done(here, webhook=receiver.url("/hook"))
        (delivery,) = await here.settled(job.id)
    assert days.pauses == [0, 5, 300, 1800]
    assert delivery.attempts == 4
    stamps = [int(call.headers["webhook-timestamp"]) - int(days.start) for call in receiver.calls]
    assert stamps == [0, 5, 305, 2105]
    assert len({call.headers["webhook-signature"] for call in receiver.calls}) == 4


async def test_a_receiver_that_is_broken_for_days_is_given_up_and_others_are_not(
    opened: Opened, receiver: Receiver
) -> None:
    receiver.answers["/broken"] = [500, 502, 503]
    days = Days()
    # The days pass in no time: what ended on the first is still to be looked at on the last.
    async with opened(clock=days.clock(), sleep=days.sleep, retention_s=7 * 86_400.0) as here:
        broken = await here.webhooks.endpoints.create("me", receiver.url("/broken"), ENDS)
        fine = await here.webhooks.endpoints.create("me", receiver.url("/fine"), ENDS)
        job = await done(here)
        of = {delivery.endpoint_id: delivery for delivery in await here.settled(job.id)}
        broken, fine = [await here.webhooks.endpoints.get(endpoint.id, "me") for endpoint in (broken, fine)]
    assert (of[fine.id].status, of[fine.id].attempts) == (DeliveryStatus.DELIVERED, 1)
    dead = of[broken.id]
    assert (dead.status, dead.attempts, dead.last_answer, dead.next_at) == (DeliveryStatus.DEAD, 10, "503", None)
    assert dead.done_at is not None
    # The jitter makes it longer by a tenth at most.
    assert timedelta(hours=75) < dead.done_at - dead.created_at < timedelta(hours=84)
    assert len({call.id for call in receiver.at("/broken")}) == 1
    assert len(receiver.at("/broken")) == len(SCHEDULE_S) == 10
    assert (broken.failed_calls, broken.total_calls, broken.delivered_at) == (10, 10, None)
    assert (broken.enabled, broken.disabled_because) == (False, "nothing was delivered there for days")
    assert (fine.failed_calls, fine.total_calls) == (0, 1)
    assert (fine.enabled, fine.disabled_because, fine.delivered_at) == (True, None, of[fine.id].done_at)
    assert [attempt.answer for attempt in dead.tries] == ["500", "502"] + ["503"] * 8
    stamps = [int(call.headers["webhook-timestamp"]) for call in receiver.at("/broken")]
    assert [int(attempt.at.timestamp()) for attempt in dead.tries] == stamps


@pytest.mark.parametrize("meanwhile", ["it worked", "its owner changed it"])
async def test_an_endpoint_that_is_not_broken_for_good_stays(
    opened: Opened, receiver: Receiver, meanwhile: str
) -> None:
    """One message fails for days; in the middle of them another one is heard, or the owner does something about it."""
    days = Days()
    waiting, go = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds == SCHEDULE_S[-1]:
            waiting.set()
            await go.wait()
        days.at += seconds

    # The retention is longer than all of it: see above.
    timing = {"clock": days.clock(), "sleep": sleep, "retention_s": 30 * 86_400.0, "jitter": lambda: 0.0}
    async with opened(**timing) as here:
        endpoint = await here.webhooks.endpoints.create("me", receiver.url("/hook"), ENDS)
        receiver.answers["/hook"] = [500]
        ill = await done(here)
        await asyncio.wait_for(waiting.wait(), 30)
        if meanwhile == "it worked":
            receiver.answers["/hook"] = [200]
            await here.settled((await done(here)).id)
        else:
            await here.webhooks.endpoints.update(endpoint.id, "me", description="mended")
        receiver.answers["/hook"] = [500]
        go.set()
        (dead,) = await here.settled(ill.id)
        assert (dead.status, dead.attempts) == (DeliveryStatus.DEAD, 10)
        kept = await here.webhooks.endpoints.get(endpoint.id, "me")
        assert (kept.enabled, kept.disabled_because) == (True, None)
        # The next one that fails to the end, with nothing in between, is one too many.
        await here.settled((await done(here)).id)
        kept = await here.webhooks.endpoints.get(endpoint.id, "me")
        assert (kept.enabled, kept.disabled_because) == (False, "nothing was delivered there for days")
        again = await here.webhooks.endpoints.update(endpoint.id, "me", enabled=True)
        assert (again.enabled, again.disabled_because) == (True, None)


async def test_a_receiver_may_ask_for_more_time(opened: Opened, receiver: Receiver) -> None:
    def later(text: str) -> Callable[[], web.Response]:
        return lambda: web.Response(status=429, headers={"Retry-After": text})

    receiver.answers["/hook"] = [later("120"), later("1"), later("soon"), 200]
    days = Days()
    async with opened(clock=days.clock(), sleep=days.sleep, jitter=lambda: 0.0) as here:
        await here.settled((await done(here, webhook=receiver.url("/hook"))).id)
    assert days.pauses == [0, 120, 300, 1800]


async def test_one_that_hangs_is_left_and_asked_again(opened: Opened, receiver: Receiver) -> None:
    hang = asyncio.Event()
    receiver.answers["/hook"] = [hang, 204]
    async with opened(timeout_s=0.2, schedule_s=HURRIED) as here:
        (delivery,) = await here.settled((await done(here, webhook=receiver.url("/hook"))).id)
    hang.set()
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 2)


async def test_a_host_that_hangs_does_not_keep_others_waiting(opened: Opened, receiver: Receiver) -> None:
    hang = asyncio.Event()
    receiver.answers["/hangs"] = [hang]
    async with opened(allow=("127.0.0.1:*", "localhost:*")) as here:
        stuck = [await done(here, webhook=receiver.url("/hangs")) for _ in range(6)]
        await receiver.until(MOST_A_HOST, "/hangs")
        other = await done(here, webhook=f"http://localhost:{receiver.port}/fine")
        (delivery,) = await here.settled(other.id)
        assert delivery.status == DeliveryStatus.DELIVERED
        assert len(receiver.at("/hangs")) == MOST_A_HOST < len(stuck), "more at once to one host than is polite"
        hang.set()
        for job in stuck:
            (delivery,) = await here.settled(job.id)
            assert delivery.status == DeliveryStatus.DELIVERED


@pytest.mark.parametrize("kind", ENGINES[:2])
async def test_an_owner_s_hanging_receiver_keeps_no_other_owner_waiting(
    kind: str, url: str, tmp_path: Path, conduct: Conductor, receiver: Receiver
) -> None:
    hang = asyncio.Event()
    receiver.answers["/hangs"] = [hang]
    async with site(kind, url, tmp_path, conduct) as here:
        for _ in range(12):
            await done(here, "hangs", webhook=receiver.url("/hangs"))
        await receiver.until(MOST_A_HOST, "/hangs")
        (delivery,) = await here.settled((await done(here, "other", webhook=receiver.url("/fine"))).id)
        assert delivery.status == DeliveryStatus.DELIVERED
        assert len(receiver.at("/hangs")) == MOST_A_HOST
        hang.set()


# --- whom it is not sent to -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_failure_and_not_followed(opened: Opened, receiver: Receiver, status: int) -> None:
    async with receiving() as trap:
        receiver.answers["/hook"] = [lambda: web.Response(status=status, headers={"Location": trap.url("/secret")})]
        allow = (f"127.0.0.1:{receiver.port}",)
        async with opened(schedule_s=HURRIED, allow=allow) as here:
            (delivery,) = await here.settled((await done(here, webhook=receiver.url("/hook"))).id)
        assert trap.calls == []
    assert (delivery.status, delivery.attempts, delivery.last_answer) == (DeliveryStatus.DEAD, 4, str(status))


async def test_what_is_gone_is_told_nothing_more(opened: Opened, receiver: Receiver) -> None:
    receiver.answers["/gone"] = [410]
    async with opened() as here:
        gone = await here.webhooks.endpoints.create("me", receiver.url("/gone"), ENDS)
        await here.webhooks.endpoints.create("me", receiver.url("/fine"), ENDS)
        job = await done(here)
        statuses = {delivery.url: delivery.status for delivery in await here.settled(job.id)}
        disabled = await here.webhooks.endpoints.get(gone.id, "me")
        again = await here.settled((await done(here)).id)
        await here.webhooks.endpoints.update(gone.id, "me", enabled=True)
        third = await here.settled((await done(here)).id)
    assert statuses == {
        receiver.url("/gone"): DeliveryStatus.DEAD,
        receiver.url("/fine"): DeliveryStatus.DELIVERED,
    }
    assert (disabled.enabled, disabled.disabled_because) == (False, "it answered 410")
    assert [delivery.url for delivery in again] == [receiver.url("/fine")]
    assert len(third) == 2
    assert len(receiver.at("/gone")) == 2 and len(receiver.at("/fine")) == 3


async def test_a_url_of_a_request_that_is_gone_is_dead_at_once(opened: Opened, receiver: Receiver) -> None:
    receiver.answers["/gone"] = [410]
    async with opened() as here:
        (delivery,) = await here.settled((await done(here, webhook=receiver.url("/gone"))).id)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DEAD, 1)


async def test_an_endpoint_that_is_deleted_in_between_is_told_nothing(opened: Opened, receiver: Receiver) -> None:
    receiver.answers["/hook"] = [500]
    days = Days()
    go = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds > 0:
            await go.wait()

    async with opened(clock=days.clock(), sleep=sleep) as here:
        endpoint = await here.webhooks.endpoints.create("me", receiver.url("/hook"), ENDS)
        job = await done(here)
        await receiver.until(1)
        await here.webhooks.endpoints.delete(endpoint.id, "me")
        go.set()
        (delivery,) = await here.settled(job.id)
    assert (delivery.status, delivery.last_answer) == (DeliveryStatus.DEAD, "no endpoint")
    assert len(receiver.calls) == 1


async def test_private_addresses_are_not_told_whatever_names_them(opened: Opened, receiver: Receiver) -> None:
    async with opened(allow=(), schedule_s=(0.0,)) as here:
        for spelling in ("127.0.0.1", "localhost", "[::1]", "2130706433", "[::ffff:127.0.0.1]"):
            job = await done(here, webhook=f"http://{spelling}:{receiver.port}/")
            (delivery,) = await here.settled(job.id)
            # One text for everything: what is refused and what is not there look the same.
            assert (delivery.status, delivery.last_answer) == (DeliveryStatus.DEAD, "no answer")
    assert receiver.calls == []


@pytest.mark.parametrize(
    "wrong",
    [
        "ftp://example.org/", "file:///etc/passwd", "//example.org/", "example.org", "", "http://", None, 7,
        "http://user@example.org/", "http://user:secret@example.org/", "http://127.0.0.1/", "https://10.1.2.3/x",
        "http://169.254.169.254/latest", "http://[::1]/", "http://[fd00::1]/", "http://2130706433/", "http://0x7f.1/",
        "http://example.org:6379/", "http://exam ple.org/", "http://example.org\\@127.0.0.1/",
        "http://example.org/" + "x" * 2048, "http://example.org/\ud800",
    ],
)  # fmt: skip
async def test_what_would_never_be_delivered_is_refused_at_once(opened: Opened, wrong: object) -> None:
    async with opened(allow=()) as here:
        with pytest.raises(InvalidInput, match="webhook") as caught:
            here.webhooks.check(wrong, "webhook")
        assert caught.value.field == "webhook"
        with pytest.raises(InvalidInput):
            await here.webhooks.endpoints.create("me", wrong)
        assert here.webhooks.check("https://example.org/hook?x=1", "webhook") == "https://example.org/hook?x=1"


# --- signatures -------------------------------------------------------------------------------------------------


async def test_an_endpoint_has_a_secret_of_its_own(opened: Opened, receiver: Receiver) -> None:
    async with opened() as here:
        endpoint = await here.webhooks.endpoints.create("me", receiver.url("/hook"), ENDS)
        await here.settled((await done(here)).id)
        owners = await here.webhooks.secret_of("me")
        assert owners == await here.webhooks.secret_of("me") != endpoint.secret
    (call,) = receiver.calls
    Webhook(endpoint.secret).verify(call.body, call.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(owners).verify(call.body, call.headers)


@pytest.mark.parametrize(("age_s", "fresh"), [(0, True), (290, True), (310, False), (-310, False)])
async def test_an_old_message_played_back_is_refused(
    opened: Opened, receiver: Receiver, age_s: float, fresh: bool
) -> None:
    days = Days(start=time.time() - age_s)
    async with opened(clock=days.clock(), sleep=days.sleep) as here:
        await here.settled((await done(here, webhook=receiver.url("/hook"))).id)
        secret = await here.webhooks.secret_of("me")
    (call,) = receiver.calls
    if fresh:
        assert Webhook(secret).verify(call.body, call.headers)["type"] == "generation.completed"
        # Another time on the same message does not help.
        later = {**call.headers, "webhook-timestamp": str(int(call.headers["webhook-timestamp"]) + 1)}
        with pytest.raises(WebhookVerificationError, match="signature"):
            Webhook(secret).verify(call.body, later)
    else:
        with pytest.raises(WebhookVerificationError, match="timestamp"):
            Webhook(secret).verify(call.body, call.headers)


# --- endpoints --------------------------------------------------------------------------------------------------


async def test_endpoints_hear_of_their_owner_s_jobs_and_of_what_they_ask_for(
    opened: Opened, receiver: Receiver, conduct: Conductor
) -> None:
    async with opened() as here:
        create = here.webhooks.endpoints.create
        await create("me", receiver.url("/all"), ["*"])
        await create("me", receiver.url("/failures"), ["generation.failed", "generation.cancelled"])
        await create("you", receiver.url("/yours"), ["*"])
        await here.settled((await done(here)).id)
        conduct.failures.append(InvalidInput("no"))
        # Its own URL and an endpoint's that is the same are told once.
        await here.settled((await done(here, webhook=receiver.url("/all"))).id)
    told = [json.loads(call.body)["type"] for call in receiver.at("/all")]
    assert sorted(told) == ["generation.completed", *["generation.created"] * 2, "generation.failed"]
    assert len(receiver.at("/failures")) == 1
    assert receiver.at("/yours") == []


@pytest.mark.parametrize("kind", ENGINES)
async def test_endpoints_hear_that_a_job_was_taken_once(
    kind: str, url: str, receiver: Receiver, conduct: Conductor, tmp_path: Path
) -> None:
    conduct.go.clear()
    async with site(kind, url, tmp_path, conduct) as here:
        for path, events in (("/all", ["*"]), ("/created", ["generation.created"]), ("/ends", ENDS)):
            await here.webhooks.endpoints.create("me", receiver.url(path), events)
        await here.webhooks.endpoints.create("you", receiver.url("/yours"), ["*"])
        order = Order(BOAT, "me", "native", id="7" * 32, fingerprint="f", webhook=receiver.url("/hook"))
        job, *again = [await here.jobs.submit(order) for _ in range(3)]
        at_once = asyncio.gather(*(here.jobs.submit(order) for _ in range(3)))
        assert {same.id for same in (*again, *await at_once)} == {job.id}
        # Written before the answer, and heard of while the job is at work.
        taken = await here.webhooks.of_job(job.id)
        assert [delivery.event for delivery in taken] == ["generation.created"] * 2
        calls = await receiver.until(2)
        bodies = {call.path: json.loads(call.body) for call in calls}
        assert set(bodies) == {"/all", "/created"} and len({call.id for call in calls}) == 2
        for body in bodies.values():
            assert (body["type"], body["data"]["id"], body["data"]["status"]) == (
                "generation.created",
                job.id,
                "queued",
            )
            assert (body["data"]["images"], body["timestamp"]) == ([], body["data"]["created_at"])
        conduct.go.set()
        await here.jobs.wait(job.id, "me", 30)
        await here.settled(job.id)
        await here.jobs.submit(order)
        # One that is sent after all of it shows that there is nothing left to come.
        await here.settled((await done(here, "them", receiver.url("/last"))).id)
    told = sorted((call.path, json.loads(call.body)["type"]) for call in receiver.calls)
    assert told == [
        ("/all", "generation.completed"),
        ("/all", "generation.created"),
        ("/created", "generation.created"),
        ("/ends", "generation.completed"),
        ("/hook", "generation.completed"),
        ("/last", "generation.completed"),
    ]


@pytest.mark.parametrize("kind", ENGINES)
async def test_a_job_that_is_not_taken_is_told_to_nobody(
    kind: str, url: str, receiver: Receiver, conduct: Conductor, tmp_path: Path
) -> None:
    async with site(kind, url, tmp_path, conduct, max_waiting=0) as here:
        await here.webhooks.endpoints.create("me", receiver.url("/hook"))
        with pytest.raises(Overloaded):
            await here.jobs.submit(Order(BOAT, "me", "native", id="7" * 32))
        assert await here.webhooks.of_job("7" * 32) == ()
    assert receiver.calls == []


@pytest.mark.parametrize("kind", ENGINES)
async def test_without_endpoints_a_job_that_is_taken_costs_one_select(
    kind: str, url: str, conduct: Conductor, tmp_path: Path
) -> None:
    async with site(kind, url, tmp_path, conduct) as here:
        job = await here.jobs.submit(Order(BOAT, "me", "native"))
        asked: list[str] = []

        def count(connection: Connection) -> None:
            event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2]))
            here.webhooks.outbox.write(connection, job)

        await here.database.run(count)
        (only,) = asked
        assert only.startswith("SELECT cn_endpoints")


async def test_an_endpoint_s_life(opened: Opened, receiver: Receiver) -> None:
    async with opened() as here:
        endpoints = here.webhooks.endpoints
        made = await endpoints.create("me", receiver.url("/a"), ["*"], "for the shop")
        assert await endpoints.list("me") == (made,) and await endpoints.list("you") == ()
        changed = await endpoints.update(made.id, "me", events=["generation.failed"], enabled=False)
        assert (changed.events, changed.enabled, changed.url) == (("generation.failed",), False, made.url)
        assert (changed.secret, changed.description, changed.created_at) == (
            made.secret, made.description, made.created_at,
        )  # fmt: skip
        with capture_logs() as said:
            for owner, id in (("you", made.id), ("me", "ep_0")):
                with pytest.raises(NotFound):
                    await endpoints.get(id, owner)
                with pytest.raises(NotFound):
                    await endpoints.update(id, owner, enabled=True)
                with pytest.raises(NotFound):
                    await endpoints.delete(id, owner)
        told = [(line["endpoint"], line["owner"]) for line in said if "another owner's" in line["event"]]
        assert told == [(made.id, "you")] * 3, "the operator sees who asks for what is not theirs"
        assert await endpoints.get(made.id, "me") == changed
        await endpoints.delete(made.id, "me")
        assert await endpoints.list("me") == ()


@pytest.mark.parametrize("events", [[], "*", ["a b"], [""], [7], ["x" * 65], ["a."], None, ["*"] * 51])
async def test_events_must_be_names(opened: Opened, receiver: Receiver, events: object) -> None:
    async with opened() as here:
        with pytest.raises(InvalidInput, match="enabledEvents") as caught:
            fields = ("url", "enabledEvents", "description")
            await here.webhooks.endpoints.create("me", receiver.url("/"), events, fields=fields)
        assert caught.value.field == "enabledEvents"


async def test_a_dialect_that_can_t_phrase_an_end_does_not_keep_the_job_from_it(
    opened: Opened, receiver: Receiver
) -> None:
    def broken(job: Job, link: Link) -> Announcement:
        raise KeyError("meta")

    async with opened(announcers={"native": broken}) as here:
        job = await done(here, webhook=receiver.url("/hook"))
        assert job.status == Status.SUCCEEDED
        assert await here.webhooks.of_job(job.id) == ()


# --- processes that die -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DURABLE)
@pytest.mark.parametrize("moment", ["before", "during"])
async def test_a_process_that_is_killed_leaves_its_deliveries_to_the_next(
    kind: str, url: str, moment: str, receiver: Receiver, conduct: Conductor, tmp_path: Path
) -> None:
    """Killed between a job's end and its delivery, or while the receiver has the message and has not answered."""
    hang = asyncio.Event()
    receiver.answers["/hook"] = [hang, 200] if moment == "during" else [200]
    arguments = (kind, url, str(tmp_path), receiver.url("/hook"), moment)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.rigs.webhook_worker", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    job_id = (await worker.stdout.readline()).decode().strip()
    if moment == "during":
        await receiver.until(1)
        worker.kill()
    assert await worker.wait() == -signal.SIGKILL
    before = len(receiver.calls)
    assert before == (1 if moment == "during" else 0)
    async with site(kind, url, tmp_path, conduct, grace_s=0.5, look_s=0.1) as here:
        calls = await receiver.until(before + 1)
        (delivery,) = await here.settled(job_id)
        job = await here.jobs.get(job_id, "me")
    hang.set()
    assert job.status == Status.SUCCEEDED and conduct.begun == []
    assert delivery.status == DeliveryStatus.DELIVERED
    assert {call.id for call in calls} == {delivery.id}
    assert len(receiver.calls) == before + 1


@pytest.mark.parametrize("kind", DURABLE)
async def test_a_process_that_goes_away_hands_on_what_it_is_sending(
    kind: str, url: str, receiver: Receiver, conduct: Conductor, tmp_path: Path
) -> None:
    hang = asyncio.Event()
    receiver.answers["/hook"] = [hang, 200]
    async with asyncio.timeout(30):
        async with site(kind, url, tmp_path, conduct, timeout_s=1000.0) as here:
            job = await done(here, webhook=receiver.url("/hook"))
            await receiver.until(1)
        # It did not wait for the receiver, and the receiver's answer would find nobody.
        async with site(kind, url, tmp_path, conduct, grace_s=0.2, look_s=0.1) as here:
            (delivery,) = await here.settled(job.id)
    hang.set()
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 1)
    assert [call.id for call in receiver.calls] == [delivery.id] * 2


# --- what is kept and counted -----------------------------------------------------------------------------------


async def test_old_deliveries_are_forgotten(opened: Opened, receiver: Receiver) -> None:
    async with opened(retention_s=0.2) as here:
        job = await done(here, webhook=receiver.url("/hook"))
        await receiver.until(1)
        await here.forgotten(job.id)


async def test_attempts_are_counted_by_their_result(opened: Opened, receiver: Receiver) -> None:
    def counted() -> dict[str, float]:
        name = "cn_webhook_deliveries_total"
        return {
            result: REGISTRY.get_sample_value(name, {"result": result}) or 0.0
            for result in ("delivered", "failed", "dead")
        }

    before = counted()
    receiver.answers = {"/well": [500, 200], "/ill": [500]}
    async with opened(schedule_s=HURRIED) as here:
        for path in ("/well", "/ill"):
            await here.settled((await done(here, webhook=receiver.url(path))).id)
    assert {result: count - before[result] for result, count in counted().items()} == {
        "delivered": 1,
        "failed": 1 + 3,
        "dead": 1,
    }
