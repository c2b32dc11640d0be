"""Request bodies: read up to a limit and within the process's budget, looked over as they arrive, parsed when whole."""

import asyncio
import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from gateway.web.budget import PORTION, REFUSED, BodiesFull, ByteBudget, Hold
from gateway.web.malformed import BodyCompressed, BodyTooLarge, BodyTooSlow
from gateway.web.origin import origin
from gateway.web.scan import Scan
from gateway.web.unkeyed import Allowance, Work
from mesh.errors import Cancelled

T = TypeVar("T")

_LARGE = 1 << 18
# Of a chunk, which may be as large as what a connection buffers; and how long pieces are looked over at a time.
_PIECE = 1 << 14
_TURN_S = 0.002
# Parsing holds the interpreter for a part of the time, so more threads would not parse more.
_PARSING = ThreadPoolExecutor(2, "bodies")


@dataclass(frozen=True)
class Bounds:
    """What bodies may take.

    Attributes:
        budget: of all bodies of the process.
        largest: most bytes of one.
        portion_s: seconds within which each PORTION of a body without a known key must arrive.
        unkeyed: what bodies without a valid key may cost by address.
    """

    budget: ByteBudget
    largest: int
    portion_s: float
    unkeyed: Allowance = field(default_factory=Allowance)


@dataclass(frozen=True)
class Sender:
    """What is known about the sender of a body.

    Attributes:
        is_known: whether its key is known to be valid, or none is asked for.
        counts: whether its address has a share of the budget; not where no keys are asked for.
        knows: tells whether a key that is found in the body is valid.
    """

    is_known: bool = True
    counts: bool = True
    knows: Callable[[str], bool] = lambda key: False


KNOWN = Sender()
"""The sender of a body that is read only after its key was checked."""


async def read(
    request: Request,
    bounds: Bounds,
    *,
    largest: int | None = None,
    sender: Sender = KNOWN,
    scan: Scan | None = None,
) -> bytes:
    """Read the whole body. Its bytes are counted until `release`, and so is its work unless a valid key is found.

    Args:
        request: of which nothing was read.
        bounds: of the process.
        largest: most bytes of this body, if they are fewer than those of the bounds.
        sender: decides which share of the budget it takes.
        scan: looks over what arrives; the key of the sender may be found by it.

    Raises:
        BodyTooLarge: more than `largest`; reading stops there.
        BodyCompressed: a compressed body.
        BodyTooSlow: it came without a known key, and too slowly.
        BodiesFull: the budget has no room for it, or it stalled and others needed its room.
        UnkeyedTooOften: it has no known key, and its address has spent what such bodies may cost.
        Malformed: `scan` refused it.
        Cancelled: the client left.
    """
    if request.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise BodyCompressed("compressed bodies are not accepted; send the body without Content-Encoding")
    most = bounds.largest if largest is None else min(largest, bounds.largest)
    announced = _announced(request)
    if announced > most:
        raise BodyTooLarge(f"the body is larger than {most} bytes; send smaller pictures")
    address = origin(request.client.host if request.client else "") if sender.counts else None
    work = bounds.unkeyed.begin(None if sender.is_known else address)
    hold = bounds.budget.hold(address, sender.is_known)
    request.state.body_hold, request.state.body_work = hold, work
    if sender.is_known:
        hold.cover(announced)
    reading = _Reading(hold, work, announced, most, sender, scan)
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(None if hold.keyed else bounds.portion_s) as limit:
                hold.on_end = partial(_cut_off, limit)
                hold.came_on()
                if not await reading.portion(stream):
                    return reading.whole()
    except TimeoutError:
        REFUSED.labels("stalled" if hold.has_ended else "slow").inc()
        if hold.has_ended:
            raise BodiesFull(
                "the body came slowly, and others needed its room; wait a little and send it again, faster"
            ) from None
        raise BodyTooSlow(
            f"the body came too slowly: send at least {PORTION} bytes every {bounds.portion_s:g} seconds, or send the "
            "key in a header or before large fields"
        ) from None
    except ClientDisconnect:
        raise Cancelled("the client closed the connection") from None
    finally:
        hold.arrived()


def admit(request: Request) -> None:
    """Count the body of `request` against the share of holders of keys from now on: its key turned out to be valid."""
    request.state.body_hold.move()
    request.state.body_work.forgive()


def release(request: Request) -> None:
    """Give back the bytes that the body of `request` takes of the budget, when nothing refers to it any more."""
    hold: Hold | None = getattr(request.state, "body_hold", None)
    if hold is not None:
        hold.release()
        request.state.body_work.end()


async def off_loop(size: int, work: Callable[..., T], *arguments: Any) -> T:
    """The result of `work`, done in a thread if it is about `size` bytes of a large body."""
    if size < _LARGE:
        return work(*arguments)
    return await asyncio.get_running_loop().run_in_executor(_PARSING, work, *arguments)


def _cut_off(limit: asyncio.Timeout) -> None:
    """Let `limit` pass now, unless it has passed."""
    with suppress(RuntimeError):
        limit.reschedule(0.0)


class _Reading:
    """A body that is being read."""

    def __init__(self, hold: Hold, work: Work, announced: int, most: int, sender: Sender, scan: Scan | None) -> None:
        self._hold = hold
        self._work = work
        self._announced = announced
        self._most = most
        self._sender = sender
        self._scan = scan
        self._size = 0
        self._is_asked = False
        self._out = io.BytesIO()

    async def portion(self, stream: Any) -> bool:
        """Read on until a PORTION more has come, or the key is known; returns whether there may be more."""
        was_keyed, end = self._hold.keyed, self._size + PORTION
        async for chunk in stream:
            if chunk:
                await self._take(chunk)
            if self._size >= end or self._hold.keyed != was_keyed:
                return True
        return False

    def whole(self) -> bytes:
        """All that was read, without a copy."""
        if self._scan is not None:
            self._scan.finish()
            self._ask()
            self._work.reach(self._size + self._scan.work)
        return self._out.getvalue()

    async def _take(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._most:
            raise BodyTooLarge(f"the body is larger than {self._most} bytes; send smaller pictures")
        self._hold.cover(self._size)
        if self._scan is not None:
            await self._feed(self._scan, chunk)
        else:
            self._work.reach(self._size)
        if not self._hold.keyed:
            self._ask()
            # By now a key that stands first is known.
            if self._hold.keyed or self._size >= PORTION:
                self._hold.cover(self._announced)
        self._out.write(chunk)

    async def _feed(self, scan: Scan, chunk: bytes) -> None:
        """Let `scan` look over a chunk; what takes long is done in pieces, between which others have their turn."""
        began = time.monotonic()
        before = self._size - len(chunk)
        for begin in range(0, len(chunk), _PIECE):
            piece = chunk[begin : begin + _PIECE]
            try:
                scan.feed(piece)
            finally:
                self._work.reach(before + begin + len(piece) + scan.work)
            if time.monotonic() - began > _TURN_S:
                await asyncio.sleep(0)
                began = time.monotonic()

    def _ask(self) -> None:
        """Ask once whether the key that was found is valid: a body with many must not guess more often than one."""
        if self._scan is None or self._is_asked or self._hold.keyed:
            return
        if (found := self._scan.found) is not None:
            self._is_asked = True
            if self._sender.knows(found):
                self._hold.move()
                self._work.forgive()


def _announced(request: Request) -> int:
    """The body's length by its header; 0 if it does not say."""
    written = request.headers.get("content-length", "")
    return int(written) if written.isascii() and written.isdigit() and len(written) < 16 else 0
