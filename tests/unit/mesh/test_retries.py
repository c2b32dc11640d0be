"""Calls that no service has seen are made again, within a budget; others are not."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from mesh.channels import Retries
from mesh.errors import BEGUN_METADATA, InternalError, MeshError, Overloaded, Unavailable

AT_ONCE = (0.0, 0.0, 0.0)
SERVED = Metadata(("controlmesh-error", "Unavailable"))


def refusal(code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, said: Metadata | None = None) -> AioRpcError:
    return AioRpcError(code, Metadata(), said or Metadata(), "fault filter abort")


class Calls:
    """Calls that fail as they are told, in turn, and then answer."""

    def __init__(self, *failures: AioRpcError) -> None:
        self.failures = list(failures)
        self.made = 0
        self.cancelled = 0

    async def unary(self) -> str:
        self.made += 1
        if self.failures:
            raise self.failures.pop(0)
        return "made"

    def stream(self, first: int = 0) -> "Answers":
        self.made += 1
        return Answers(self, first, self.failures.pop(0) if self.failures else None)


class Answers:
    """A stream that fails after `first` responses, or has three."""

    def __init__(self, calls: Calls, first: int, failure: AioRpcError | None) -> None:
        self._calls, self._first, self._failure = calls, first, failure

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in range(self._first if self._failure else 3):
            yield number
        if self._failure:
            raise self._failure

    def cancel(self) -> None:
        self._calls.cancelled += 1


async def streamed(retries: Retries, make: Callable[[], Any]) -> list[int]:
    return [answer async for answer in retries.stream(make)]


@pytest.mark.parametrize("refused", [1, 2, 3])
async def test_what_was_refused_unseen_is_made_again(refused: int) -> None:
    retries, calls = Retries(pauses_s=AT_ONCE), Calls(*(refusal() for _ in range(refused)))
    assert await retries.call(calls.unary) == "made"
    assert calls.made == 1 + refused
    calls = Calls(*(refusal() for _ in range(refused)))
    assert await streamed(retries, calls.stream) == [0, 1, 2]
    assert calls.made == calls.cancelled == 1 + refused


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        # unet_svc's own word that its Triton is away, or that it is full: it has seen the call.
        (refusal(said=SERVED), Unavailable),
        (refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, Metadata(("controlmesh-error", "Overloaded"))), Overloaded),
        (refusal(grpc.StatusCode.RESOURCE_EXHAUSTED), Overloaded),
        (refusal(grpc.StatusCode.INTERNAL), InternalError),
        (refusal(grpc.StatusCode.DEADLINE_EXCEEDED), MeshError),
        (refusal(grpc.StatusCode.CANCELLED), MeshError),
    ],
)
async def test_what_a_service_may_have_seen_is_not(failure: AioRpcError, kind: type[MeshError]) -> None:
    retries = Retries(pauses_s=AT_ONCE)
    for ask in (lambda calls: retries.call(calls.unary), lambda calls: streamed(retries, calls.stream)):
        calls = Calls(failure)
        with pytest.raises(kind):
            await ask(calls)
        assert calls.made == 1


async def test_a_stream_that_a_service_has_begun_is_not_begun_elsewhere() -> None:
    """Its server may have died of it."""
    begun = AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata((BEGUN_METADATA, "1")), Metadata(), "connection reset")
    calls = Calls(begun)
    with pytest.raises(Unavailable):
        await streamed(Retries(pauses_s=AT_ONCE), calls.stream)
    assert calls.made == 1


async def test_a_stream_that_has_begun_is_not() -> None:
    calls = Calls(refusal())
    with pytest.raises(Unavailable):
        await streamed(Retries(pauses_s=AT_ONCE), lambda: calls.stream(first=1))
    assert calls.made == calls.cancelled == 1


async def failed_of(count: int, share: float, ask: Callable[[Retries, Calls], Awaitable[Any]]) -> tuple[int, int]:
    """Of `count` requests whose calls are refused with that chance, those that failed, and the calls."""
    chance, retries, failed = random.Random(7), Retries(pauses_s=AT_ONCE), 0

    class Unlucky(Calls):
        async def unary(self) -> str:
            if chance.random() < share:
                self.failures = [refusal()]
            return await super().unary()

    calls = Unlucky()
    for _ in range(count):
        try:
            await ask(retries, calls)
        except Unavailable:
            failed += 1
    return failed, calls.made


async def test_a_tenth_refused_is_hardly_felt_and_an_outage_is_not_multiplied() -> None:
    async def ask(retries: Retries, calls: Calls) -> None:
        await retries.call(calls.unary)

    failed, made = await failed_of(5000, 0.1, ask)
    assert failed <= 0.002 * 5000
    assert made < 1.13 * 5000
    failed, made = await failed_of(1000, 1.0, ask)
    assert failed == 1000
    assert made <= 1.2 * 1000 + 10
