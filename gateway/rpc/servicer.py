"""GenerationService: the same jobs over gRPC, for callers inside the cluster."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message

from controlmesh.v1 import generation_pb2, generation_pb2_grpc
from gateway.bootstrap import Gateway
from gateway.generation.checks import number, whole, wrong
from gateway.generation.pipeline import Preview
from gateway.jobs import idempotency
from gateway.jobs.bounds import DEADLINE_S, LIMIT, LIMIT_DEFAULT, PRIORITY, job_id
from gateway.jobs.job import Filter, Job, Order
from gateway.rpc.record import DIALECT, STATUSES, contents, progress, record, result
from gateway.rpc.request import generation_of, unknown_fields
from gateway.web.authorization import bearer
from mesh.errors import Cancelled

NAME = "controlmesh.v1.GenerationService"
_BY_NUMBER = {value: status for status, value in STATUSES.items()}


class Generations(generation_pb2_grpc.GenerationServiceServicer):
    """Implements GenerationService on the same parts as the HTTP dialects.

    Args:
        gateway: its parts.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        settings = gateway.settings
        # gRPC callers have sent no HTTP address to derive URLs from.
        self._base_url = settings.public_url.rstrip("/") or f"http://{settings.public_address}"

    async def Generate(
        self, request: generation_pb2.GenerateRequest, context: Any
    ) -> AsyncIterator[generation_pb2.GenerateResponse]:
        order = self._order(request, context, "Generate", request, at_once=True)
        job = await self._submit(order)
        shown: Preview | None = None
        try:
            async for now in self._gateway.jobs.watch(job.id, job.owner):
                job = now
                if not job.is_finished:
                    yield generation_pb2.GenerateResponse(progress=progress(job, shown))
                    shown = job.preview
        finally:
            if not job.is_finished and not order.id:
                # Shielded: this runs because the caller cancelled, and cancelling the job must not be cancelled itself.
                await asyncio.shield(self._gateway.jobs.cancel(job.id, job.owner))
        if job.error is not None:
            raise job.error
        if not job.pictures:
            raise Cancelled("the generation was cancelled")
        yield generation_pb2.GenerateResponse(result=result(job, await contents(self._gateway.assets, job)))

    async def SubmitJob(
        self, request: generation_pb2.SubmitJobRequest, context: Any
    ) -> generation_pb2.SubmitJobResponse:
        order = self._order(request.generation, context, "SubmitJob", request)
        if request.HasField("priority"):
            whole(PRIORITY)("priority", request.priority)
            order = replace(order, priority=request.priority)
        if request.HasField("deadline"):
            seconds = request.deadline.seconds + request.deadline.nanos / 1e9
            number(DEADLINE_S)("deadline", seconds)
            order = replace(order, deadline_s=seconds)
        if request.webhook:
            order = replace(order, webhook=await self._gateway.webhooks.named(request.webhook, "webhook"))
        job = await self._submit(order)
        return generation_pb2.SubmitJobResponse(job=await self._record(job))

    async def GetJob(self, request: generation_pb2.GetJobRequest, context: Any) -> generation_pb2.GetJobResponse:
        job = await self._gateway.jobs.get(job_id(request.id), self._owner(context))
        return generation_pb2.GetJobResponse(job=await self._record(job, request.with_content))

    async def WatchJob(
        self, request: generation_pb2.WatchJobRequest, context: Any
    ) -> AsyncIterator[generation_pb2.WatchJobResponse]:
        shown: Preview | None = None
        async for job in self._gateway.jobs.watch(job_id(request.id), self._owner(context)):
            yield generation_pb2.WatchJobResponse(job=await self._record(job, request.with_content, shown))
            shown = job.preview

    async def CancelJob(
        self, request: generation_pb2.CancelJobRequest, context: Any
    ) -> generation_pb2.CancelJobResponse:
        job = await self._gateway.jobs.cancel(job_id(request.id), self._owner(context))
        return generation_pb2.CancelJobResponse(job=await self._record(job))

    async def ListJobs(self, request: generation_pb2.ListJobsRequest, context: Any) -> generation_pb2.ListJobsResponse:
        owner = self._owner(context)
        size = request.page_size or LIMIT_DEFAULT
        whole(LIMIT)("page_size", size)
        page = await self._gateway.jobs.page(owner, _filter(request), size, request.page_token)
        jobs = [await self._record(job) for job in page.jobs]
        return generation_pb2.ListJobsResponse(jobs=jobs, next_page_token=page.next or "")

    def _order(
        self, asked: generation_pb2.GenerateRequest, context: Any, method: str, request: Message, at_once: bool = False
    ) -> Order:
        """The order for a call of `method` with `request`; its model is not resolved yet."""
        owner = self._owner(context)
        echo = {"base_url": self._base_url, "remarks": unknown_fields(request)}
        order = Order(generation_of(asked), owner, dialect=DIALECT, echo=echo, at_once=at_once)
        key = idempotency.checked(_metadata(context).get(idempotency.HEADER.lower()))
        if key is None:
            return order
        sent = request.SerializeToString(deterministic=True)
        fingerprint = idempotency.fingerprint(method, NAME, "application/grpc", sent)
        return replace(order, id=idempotency.job_id(owner, DIALECT, key), fingerprint=fingerprint)

    async def _submit(self, order: Order) -> Job:
        resolved = replace(order, generation=await self._gateway.catalogue.resolve(order.generation))
        return await self._gateway.jobs.submit(self._gateway.keys.bounded(resolved))

    async def _record(self, job: Job, with_content: bool = False, shown: Preview | None = None) -> generation_pb2.Job:
        links = await self._gateway.assets.urls(self._base_url, [picture.asset for picture in job.pictures])
        return record(job, links, await contents(self._gateway.assets, job) if with_content else (), shown)

    def _owner(self, context: Any) -> str:
        return self._gateway.keys.owner(bearer(_metadata(context).get("authorization")))


def _metadata(context: Any) -> dict[str, str]:
    return dict(context.invocation_metadata() or ())


def _filter(request: generation_pb2.ListJobsRequest) -> Filter:
    for value in request.statuses:
        if value not in _BY_NUMBER:
            raise wrong("statuses", "some of the named ones", value)
    since: datetime | None = None
    if request.HasField("created_after"):
        try:
            since = request.created_after.ToDatetime(UTC)
        except (ValueError, OverflowError):
            raise wrong("created_after", "a time from the year 1 to 9999", request.created_after.seconds) from None
    return Filter(statuses=tuple(_BY_NUMBER[value] for value in request.statuses), created_after=since)
