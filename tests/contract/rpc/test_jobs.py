"""Jobs of GenerationService: submitted, watched, cancelled, listed; one request under one key is one job."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest

from controlmesh.v1 import generation_pb2, generation_pb2_grpc, types_pb2
from mesh.errors import InvalidInput
from mesh.pictures import check, decode
from tests.contract.rpc.test_servicer import PICTURE, face

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = (
    generation_pb2.JOB_STATUS_QUEUED,
    generation_pb2.JOB_STATUS_RUNNING,
    generation_pb2.JOB_STATUS_SUCCEEDED,
    generation_pb2.JOB_STATUS_FAILED,
    generation_pb2.JOB_STATUS_CANCELLED,
)
Stub = generation_pb2_grpc.GenerationServiceStub
NOBODY = "0" * 32


def boat(**settings: Any) -> generation_pb2.SubmitJobRequest:
    return generation_pb2.SubmitJobRequest(generation=generation_pb2.GenerateRequest(prompt="a boat", **settings))


async def submit(stub: Stub, request: generation_pb2.SubmitJobRequest, **metadata: str) -> generation_pb2.Job:
    sent = tuple((name.replace("_", "-"), value) for name, value in metadata.items())
    answer = await stub.SubmitJob(request, metadata=sent)
    return answer.job


async def watched(stub: Stub, id: str, **options: Any) -> list[generation_pb2.Job]:
    return [message.job async for message in stub.WatchJob(generation_pb2.WatchJobRequest(id=id, **options))]


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str | None]:
    """Status and field of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), dict(caught.value.trailing_metadata() or ()).get("controlmesh-field")


async def test_a_job_from_submission_to_pictures() -> None:
    control = types_pb2.Control(kind="canny", image=types_pb2.Image(content=PICTURE))
    async with face() as (rooms, stub):
        rooms.pace.clear()
        request = boat(controls=[control], steps=3, seed=9, samples=2, format=types_pb2.IMAGE_FORMAT_PNG)
        request.priority = 7
        taken = await submit(stub, request)
        assert len(taken.id) == 32 and taken.status in (QUEUED, RUNNING)
        assert (taken.priority, taken.dialect, taken.webhook) == (7, "grpc", "")
        await rooms.seen.started.wait()
        watching = asyncio.create_task(watched(stub, taken.id))
        rooms.pace.set()
        seen = await watching
        known = (await stub.GetJob(generation_pb2.GetJobRequest(id=taken.id, with_content=True))).job
    assert all(job.id == taken.id for job in seen) and [job.status for job in seen][-1] == SUCCEEDED
    assert all(job.progress.steps == 6 for job in seen) and seen[-1].progress.step == 6
    assert [image.image.content for image in seen[-1].result.images] == [b"", b""], (
        "content only where it was asked for"
    )
    assert known.attempts == 1 and not known.HasField("error")
    assert known.created_at.ToDatetime() <= known.started_at.ToDatetime() <= known.finished_at.ToDatetime()
    for image, seed in zip(known.result.images, (9, 10), strict=True):
        assert (image.seed, image.image.width, image.image.height) == (seed, 96, 64)
        assert check(image.image.content)[1:] == (96, 64) and decode(image.image.content)[0, 0, 0] == seed
        assert image.url.startswith("http://127.0.0.1:8080/controlmesh/v1/assets/")
    assert len({image.url for image in known.result.images}) == 2


async def test_a_failure_stands_in_the_record() -> None:
    async with face() as (rooms, stub):
        rooms.failure = InvalidInput("controls[0].image is broken", field="controls[0].image")
        job = (await watched(stub, (await submit(stub, boat())).id))[-1]
    assert (job.status, job.HasField("result")) == (FAILED, False)
    assert (job.error.code, job.error.message, job.error.field) == (
        "INVALID_ARGUMENT",
        "controls[0].image is broken",
        "controls[0].image",
    )


async def test_cancelling_stops_the_work_and_leaves_what_is_finished_alone() -> None:
    async with face() as (rooms, stub):
        rooms.pace.clear()
        running = await submit(stub, boat())
        await rooms.seen.started.wait()
        stopped = (await stub.CancelJob(generation_pb2.CancelJobRequest(id=running.id))).job
        await asyncio.wait_for(rooms.seen.cancelled.wait(), 5)
        assert stopped.status == CANCELLED and not stopped.HasField("error")
        rooms.pace.set()
        done = (await watched(stub, (await submit(stub, boat())).id))[-1]
        again = (await stub.CancelJob(generation_pb2.CancelJobRequest(id=done.id))).job
        assert (again.status, again.finished_at) == (SUCCEEDED, done.finished_at)


async def test_leaving_a_watched_job_leaves_it_alone() -> None:
    async with face() as (rooms, stub):
        rooms.pace.clear()
        job = await submit(stub, boat())
        call = stub.WatchJob(generation_pb2.WatchJobRequest(id=job.id))
        await call.read()
        call.cancel()
        rooms.pace.set()
        assert (await watched(stub, job.id))[-1].status == SUCCEEDED


async def test_previews_come_with_the_watched_progress() -> None:
    async with face() as (rooms, stub):
        rooms.pace.clear()
        job = await submit(stub, boat(preview_every=1, steps=1, seed=5))
        last, previews = job, []
        async for message in stub.WatchJob(generation_pb2.WatchJobRequest(id=job.id)):
            last = message.job
            if last.progress.preview.content:
                previews.append(last.progress.preview)
                rooms.pace.set()
    assert [(preview.width, preview.height) for preview in previews] == [(16, 16)], "each preview comes once"
    assert decode(previews[0].content)[0, 0, 0] == 5
    assert last.status == SUCCEEDED and not last.progress.preview.content


async def test_lists_go_page_by_page_and_are_filtered() -> None:
    async with face() as (rooms, stub):
        made = [await submit(stub, boat(seed=seed)) for seed in range(3)]
        for job in made:
            await watched(stub, job.id)
        rooms.pace.clear()
        made.append(await submit(stub, boat()))
        pages, token = [], ""
        while not pages or token:
            page = await stub.ListJobs(generation_pb2.ListJobsRequest(page_size=3, page_token=token))
            pages.append([job.id for job in page.jobs])
            token = page.next_page_token
        assert pages == [[job.id for job in made[:0:-1]], [made[0].id]]
        done = await stub.ListJobs(generation_pb2.ListJobsRequest(statuses=[SUCCEEDED, FAILED]))
        assert [job.id for job in done.jobs] == [job.id for job in made[2::-1]] and not done.next_page_token
        late = await stub.ListJobs(generation_pb2.ListJobsRequest(created_after=made[2].created_at))
        ids = [job.id for job in late.jobs]
        assert ids[0] == made[3].id and made[1].id not in ids
        assert not (await stub.ListJobs(generation_pb2.ListJobsRequest(statuses=[CANCELLED]))).jobs


async def test_the_same_request_under_a_key_is_the_same_job() -> None:
    async with face() as (rooms, stub):
        taken = await asyncio.gather(*(submit(stub, boat(), idempotency_key="one") for _ in range(50)))
        assert len({job.id for job in taken}) == 1
        assert (await watched(stub, taken[0].id))[-1].status == SUCCEEDED
        assert len(rooms.seen.denoised) == 1
        other = stub.SubmitJob(boat(seed=3), metadata=(("idempotency-key", "one"),))
        assert (await refused(other))[0] == grpc.StatusCode.ALREADY_EXISTS
        assert (await submit(stub, boat(seed=3), idempotency_key="two")).id != taken[0].id
        long = stub.SubmitJob(boat(), metadata=(("idempotency-key", "x" * 256),))
        assert await refused(long) == (grpc.StatusCode.INVALID_ARGUMENT, "Idempotency-Key")


async def test_a_caller_that_can_come_back_leaves_its_generation_going_on() -> None:
    key = (("idempotency-key", "one"),)
    request = generation_pb2.GenerateRequest(prompt="a boat", seed=4)
    async with face() as (rooms, stub):
        rooms.pace.clear()
        call = stub.Generate(request, metadata=key)
        await call.read()
        await rooms.seen.started.wait()
        call.cancel()
        again = stub.Generate(request, metadata=key)
        last = generation_pb2.GenerateResponse()
        async for message in again:
            last = message
            rooms.pace.set()
        assert last.result.images[0].seed == 4
        assert len(rooms.seen.denoised) == 1 and not rooms.seen.cancelled.is_set()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"priority": 10}, "priority"),
        ({"priority": -1}, "priority"),
        ({"deadline": {"seconds": 0}}, "deadline"),
        ({"deadline": {"seconds": 86_401}}, "deadline"),
        ({"deadline": {"seconds": -(2**62)}}, "deadline"),
        ({"webhook": "ftp://example.org/"}, "webhook"),
        ({"webhook": "http://169.254.169.254/"}, "webhook"),
        ({"webhook": "http://me:you@example.org/"}, "webhook"),
        ({"generation": {"prompt": "x", "steps": 0}}, "steps"),
        ({"generation": {"prompt": "x", "model": "nope"}}, "model"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_taken(change: dict[str, Any], field: str) -> None:
    request = generation_pb2.SubmitJobRequest(**{"generation": {"prompt": "x"}, **change})  # type: ignore[arg-type]
    async with face() as (_, stub):
        assert await refused(stub.SubmitJob(request)) == (grpc.StatusCode.INVALID_ARGUMENT, field)
        assert not (await stub.ListJobs(generation_pb2.ListJobsRequest())).jobs


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"page_size": 101}, "page_size"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": "%"}, "after"),
        ({"statuses": [0]}, "statuses"),
        ({"statuses": [99]}, "statuses"),
        ({"created_after": {"seconds": 2**62}}, "created_after"),
    ],
)
async def test_a_list_that_can_t_be_made_is_refused(change: dict[str, Any], field: str) -> None:
    async with face() as (_, stub):
        call = stub.ListJobs(generation_pb2.ListJobsRequest(**change))
        assert await refused(call) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_others_jobs_are_as_unknown_as_none() -> None:
    mine, yours = (("authorization", "Bearer mine"),), (("authorization", "Bearer yours"),)
    async with face(api_keys=("mine", "yours")) as (_, stub):
        job = await submit(stub, boat(), authorization="Bearer mine")
        for id, key in ((job.id, yours), (NOBODY, mine), ("", mine), ("\0", mine), ("../" + job.id, mine)):
            for call in (
                stub.GetJob(generation_pb2.GetJobRequest(id=id), metadata=key),
                stub.CancelJob(generation_pb2.CancelJobRequest(id=id), metadata=key),
                stub.WatchJob(generation_pb2.WatchJobRequest(id=id), metadata=key).read(),
            ):
                assert (await refused(call))[0] == grpc.StatusCode.NOT_FOUND
        assert not (await stub.ListJobs(generation_pb2.ListJobsRequest(), metadata=yours)).jobs
        assert (await refused(stub.GetJob(generation_pb2.GetJobRequest(id=job.id))))[
            0
        ] == grpc.StatusCode.UNAUTHENTICATED
        assert (await stub.GetJob(generation_pb2.GetJobRequest(id=job.id), metadata=mine)).job.id == job.id
