"""One budget of bytes for all request bodies that a process holds at the same time.

Bodies whose sender is not known yet have a smaller share of it than those of holders of keys, and one address has only
a part of either, so that no sender can make the process large or keep others out. The beginnings of bodies, where most
keys stand, have a share of their own: a small request finds room whatever large ones are on their way. Where room is
needed, bodies that have stalled give way.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import Counter as Count
from prometheus_client import Gauge

from mesh.errors import Unavailable

PORTION = 1 << 16
"""Bytes at the beginning of a body, in which its key is looked for before its whole length must find room."""
STALLED_S = 1.0
"""Seconds within which each PORTION of a body must come where others need its room."""
_RETRY_S = 2.0
# Parts of the budget: of one address, of all beginnings, of the rest without a known key, of one address of that.
# Holders of keys may have what beginnings leave.
_ADDRESS, _BEGINNINGS, _UNKEYED, _UNKEYED_ADDRESS = 2, 4, 4, 8


class Share(StrEnum):
    """What bytes count against."""

    KEYED = "keyed"
    UNKEYED = "unkeyed"
    BEGINNING = "beginning"


HELD = Gauge("cn_body_bytes", "Bytes of request bodies held by this process, by what is known of their key.", ["share"])
REFUSED = Count("cn_bodies_refused_total", "Request bodies refused before they were whole, by reason.", ["reason"])


class BodiesFull(Unavailable):
    """The process holds as many bytes of bodies as it may; the same request may succeed a little later.

    Args:
        message: what to do.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after_s=_RETRY_S)


@dataclass(frozen=True)
class Shares:
    """The most bytes that may be held at the same time.

    Attributes:
        total: of all bodies.
        address: of all bodies of one address, but for beginnings.
        beginnings: of the first PORTION of each body; half of it of one address.
        keyed: of the rest of all bodies whose key is known.
        unkeyed: of the rest of all bodies without a known key.
        unkeyed_address: of the rest of all bodies of one address without a known key.
    """

    total: int
    address: int
    beginnings: int
    keyed: int
    unkeyed: int
    unkeyed_address: int

    @classmethod
    def of(cls, total: int, largest: int) -> "Shares":
        """The shares of a budget of `total` bytes; each has room for one body of `largest` bytes."""
        parts = (total, total // _ADDRESS, total // _BEGINNINGS, total - total // _BEGINNINGS)
        return cls(*(max(part, largest) for part in (*parts, total // _UNKEYED, total // _UNKEYED_ADDRESS)))


class ByteBudget:
    """Counts the bytes of bodies in this process.

    Args:
        total: most bytes of all bodies together; at least `largest`.
        largest: most bytes of one body.
        clock: seconds, to see which bodies have stalled.
    """

    def __init__(self, total: int, largest: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._shares = Shares.of(total, largest)
        self._clock = clock
        self._held: Counter[Share] = Counter()
        self._of_address: Counter[tuple[str, Share]] = Counter()
        # Bodies that are being read, and when they came on last.
        self._arriving: dict[Hold, float] = {}

    @property
    def shares(self) -> Shares:
        """The bounds."""
        return self._shares

    @property
    def held(self) -> int:
        """Bytes of all bodies now."""
        return sum(self._held.values())

    def hold(self, address: str | None, keyed: bool) -> "Hold":
        """A hold on no bytes yet.

        Args:
            address: whom the bytes are counted for; None: for nobody in particular.
            keyed: whether the sender's key is known to be valid.
        """
        return Hold(self, address, keyed)

    def came_on(self, hold: "Hold") -> None:
        """Take note that a body arrives as it should."""
        self._arriving[hold] = self._clock()

    def take(self, count: int, hold: "Hold", share: Share) -> None:
        """Count `count` more bytes for `hold`, or fewer if it is negative.

        Raises:
            BodiesFull: one of the bounds is reached; nothing was counted.
        """
        address = hold.address
        while count > 0 and (reason := self._full(count, address, share)):
            if self._make_room(reason, hold):
                continue
            REFUSED.labels(reason).inc()
            whose = "from this address " if "address" in reason else ""
            raise BodiesFull(
                f"too many request bodies are arriving {whose}at the moment; wait a little and send it again"
                + ("" if share is Share.KEYED else ", with the key in a header or before large fields")
            )
        self._held[share] += count
        HELD.labels(share).inc(count)
        if address is not None:
            self._of_address[address, share] += count
            if not self._of_address[address, share]:
                del self._of_address[address, share]

    def forget(self, hold: "Hold") -> None:
        """Take note that the body of `hold` is not being read any more."""
        self._arriving.pop(hold, None)

    def _full(self, count: int, address: str | None, share: Share) -> str:
        """Which bound does not allow `count` more bytes; "" if all do."""
        shares = self._shares
        if self.held + count > shares.total:
            return "budget"
        if share is Share.BEGINNING:
            if self._held[share] + count > shares.beginnings:
                return "beginnings"
            of_address = 0 if address is None else self._of_address[address, share]
            return "beginnings of an address" if of_address + count > shares.beginnings // _ADDRESS else ""
        if self._held[share] + count > (shares.keyed if share is Share.KEYED else shares.unkeyed):
            return str(share)
        if address is not None:
            unkeyed = self._of_address[address, Share.UNKEYED]
            if share is Share.UNKEYED and unkeyed + count > shares.unkeyed_address:
                return "unkeyed address"
            if unkeyed + self._of_address[address, Share.KEYED] + count > shares.address:
                return "address"
        return ""

    def _make_room(self, reason: str, hold: "Hold") -> bool:
        """End the body that has stalled longest of those which are in the way of `hold`; whether there was one."""
        shares = [share for share in Share if reason.startswith(share)] or list(Share)

        def is_in_the_way(other: Hold) -> bool:
            of_address = "address" not in reason or other.address == hold.address
            return other is not hold and of_address and any(map(other.has, shares))

        oldest = min(filter(is_in_the_way, self._arriving), key=self._arriving.__getitem__, default=None)
        if oldest is None or self._arriving[oldest] > self._clock() - STALLED_S:
            return False
        oldest.end()
        return True


class Hold:
    """The bytes that one body takes of a budget."""

    def __init__(self, budget: ByteBudget, address: str | None, keyed: bool) -> None:
        self.address = address
        """Whom the bytes are counted for."""
        self.on_end: Callable[[], None] = lambda: None
        """Called when others need the room of this body, which has stalled."""
        self.has_ended = False
        """Whether it was ended for others."""
        self._budget = budget
        self._keyed = keyed
        self._counts: Counter[Share] = Counter()

    @property
    def keyed(self) -> bool:
        """Whether the bytes count against the share of holders of keys."""
        return self._keyed

    def has(self, share: Share) -> bool:
        """Whether bytes of it count against `share`."""
        return self._counts[share] > 0

    def cover(self, count: int) -> None:
        """Hold at least `count` bytes.

        Raises:
            BodiesFull: there is no room for them.
        """
        self._grow(min(count, PORTION), Share.BEGINNING)
        if count > PORTION:
            self._grow(count - PORTION, Share.KEYED if self._keyed else Share.UNKEYED)

    def move(self) -> None:
        """Count the bytes against the share of holders of keys from now on.

        Raises:
            BodiesFull: the address has no room for them there.
        """
        if not self._keyed:
            self._keyed = True
            count = self._counts.pop(Share.UNKEYED, 0)
            self._budget.take(-count, self, Share.UNKEYED)
            self._grow(count, Share.KEYED)

    def came_on(self) -> None:
        """Take note that the body arrives as it should."""
        self._budget.came_on(self)

    def arrived(self) -> None:
        """Take note that the body is not being read any more."""
        self._budget.forget(self)

    def end(self) -> None:
        """Give all bytes back, because others need them and the body has stalled."""
        self.has_ended = True
        self.release()
        self.on_end()

    def release(self) -> None:
        """Give all bytes back. Doing it again changes nothing."""
        self._budget.forget(self)
        for share, count in self._counts.items():
            self._budget.take(-count, self, share)
        self._counts.clear()

    def _grow(self, count: int, share: Share) -> None:
        if count > self._counts[share]:
            self._budget.take(count - self._counts[share], self, share)
            self._counts[share] = count
