"""The dialect interface: routes, parsing a request, rendering a job, rendering an error. The rest is shared code."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway.bootstrap import Gateway
from gateway.dialects.common.request import fingerprint_of
from gateway.generation.generation import Generation, Task
from gateway.generation.refusals import Remediable
from gateway.jobs import idempotency
from gateway.jobs.job import DEFAULT_PRIORITY, Job, Order
from gateway.keys.limits import CALLER
from gateway.web import bodies
from gateway.web.disconnect import while_connected
from mesh.errors import Cancelled, MeshError, unexpected
from mesh.telemetry import log, request_id


@dataclass(frozen=True)
class Submission:
    """A parsed request.

    Attributes:
        generation: the canonical request.
        owner: owner of the key.
        hold_s: seconds for which the answer may be held for the pictures.
        remarks: sentences for the caller about what was not used as sent.
        echo: JSON that the dialect needs to render the answer, possibly in another process.
        priority, deadline_s, webhook, task: as in an Order.
    """

    generation: Generation
    owner: str
    hold_s: float
    remarks: tuple[str, ...] = ()
    echo: Mapping[str, Any] = field(default_factory=dict)
    priority: int = DEFAULT_PRIORITY
    deadline_s: float | None = None
    webhook: str | None = None
    task: Task = Task.PICTURES

    def order(self, generation: Generation, dialect: str, base_url: str) -> Order:
        """The order for this request; `generation` is its own, resolved by the catalogue."""
        return Order(
            generation=generation,
            owner=self.owner,
            dialect=dialect,
            # For links in messages that are sent later, without a request.
            echo={**self.echo, "base_url": base_url},
            at_once=self.hold_s > 0 and self.webhook is None,
            priority=self.priority,
            deadline_s=self.deadline_s,
            webhook=self.webhook,
            task=self.task,
        )


class Dialect(Protocol):
    """A public API for pictures."""

    name: str
    """The dialect's name in the records of its jobs."""

    def routes(self) -> APIRouter:
        """Its routes."""

    async def parse(self, request: Request) -> Submission:
        """Parse a request; MeshError if it is invalid or its key is wrong."""

    async def render(self, request: Request, submission: Submission, job: Job) -> Response:
        """The answer for a job that is finished, or that was not finished within the hold."""

    def render_error(self, request: Request, error: MeshError) -> Response:
        """The answer for a request that failed."""


async def generate(gateway: Gateway, dialect: Dialect, request: Request) -> Response:
    """Handle a request for pictures, the same way in every dialect. If the client disconnects, its job is cancelled,
    unless it has an idempotency key to come back for it.

    Raises:
        MeshError: raised by the dialect, the catalogue or the job engine.
    """
    submission = await dialect.parse(request)
    generation = await gateway.catalogue.resolve(submission.generation, submission.task)
    order = await _named(request, submission.order(generation, dialect.name, base_url(gateway, request)))
    # Its pictures are the job's from now on, and the answer may take long.
    bodies.release(request)
    job = await gateway.jobs.submit(gateway.keys.bounded(order))
    if submission.hold_s > 0:
        try:
            job = await while_connected(request, gateway.jobs.wait(job.id, job.owner, submission.hold_s))
        except Cancelled:
            if not order.id:
                await gateway.jobs.cancel(job.id, job.owner)
            raise
    return await dialect.render(request, submission, job)


async def _named(request: Request, order: Order) -> Order:
    """`order` with the id for the request's idempotency key, if it has one."""
    key = idempotency.checked(request.headers.get(idempotency.HEADER))
    if key is None:
        return order
    id = idempotency.job_id(order.owner, order.dialect, key)
    return replace(order, id=id, fingerprint=await fingerprint_of(request))


Handler = Callable[[Request], Awaitable[Response]]


def answering(dialect: Dialect, handler: Handler) -> Handler:
    """`handler` with its errors rendered by `dialect`."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except MeshError as error:
            return dialect.render_error(request, _advised(error))
        except Exception as error:
            log.error("unexpected error", exc_info=error)
            return dialect.render_error(request, unexpected(request_id.get()))
        finally:
            bodies.release(request)

    # For the documentation.
    answer.__name__, answer.__doc__ = handler.__name__.strip("_"), handler.__doc__
    return answer


def _advised(error: MeshError) -> MeshError:
    """`error`, with the command that remedies it if there is one and the caller may run it."""
    caller = CALLER.get()
    if isinstance(error, Remediable) and error.command and caller is not None and caller.administers:
        error.message += f"; add one: {error.command}"
    return error


def base_url(gateway: Gateway, request: Request) -> str:
    """Start of absolute URLs in answers, without a trailing slash."""
    return gateway.settings.public_url.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"
