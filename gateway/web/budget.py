"""One budget of bytes for all request bodies that a process holds at the same time.

Bodies whose sender is not known yet have a smaller share of it than those of holders of keys, and one address has only
a part of either, so that no sender can make the process large or keep others out. The beginnings of bodies, where most
keys stand, have a share of their own: a small request finds room whatever large ones without a key are on their way.
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
"""Bytes at the beginning of a body in which its key is looked for before its length must find room."""
STALLED_S = 1.0
"""Seconds within which each PORTION of a body without a known key must come where others wait for its room."""
_RETRY_S = 2.0
# Parts of the budget: of one address, of all beginnings, of the rest without a known key, of one address of that.
_ADDRESS, _BEGINNINGS, _UNKEYED, _UNKEYED_ADDRESS = 2, 4, 4, 8


class Share(StrEnum):
    """What bytes count against."""

    KEYED = "keyed"
    UNKEYED = "unkeyed"
    BEGINNING = "beginning"


HELD = Gauge("cn_body_bytes", "Bytes of request bodies held by this process, by what is known of their key.", ["share"])
REFUSED = Count("cn_bodies_refused_total", "Request bodies refused before they were whole, by reason.", ["reason"])


class BodiesFull(Unavailable):
    """The process holds as many bytes of bodies as it may; the same request may succeed a little later."""


@dataclass(frozen=True)
class Shares:
    """The most bytes that may be held at the same time.

    Attributes:
        total: of all bodies.
        address: of all bodies of one address, but for beginnings.
        beginnings: of the first PORTION of each body without a known key; half of it of one address.
        unkeyed: of the rest of all bodies without a known key.
        unkeyed_address: of the rest of all bodies of one address without a known key.
    """

    total: int
    address: int
    beginnings: int
    unkeyed: int
    unkeyed_address: int

    @classmethod
    def of(cls, total: int, largest: int) -> "Shares":
        """The shares of a budget of `total` bytes; each has room for one body of `largest` bytes."""
        return cls(*(max(total // part, largest) for part in (1, _ADDRESS, _BEGINNINGS, _UNKEYED, _UNKEYED_ADDRESS)))


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
        # Holds of the share without a key, and when they came on last.
        self._strangers: dict[Hold, float] = {}

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
        """Take note that a body without a known key arrives as it should."""
        self._strangers[hold] = self._clock()

    def take(self, count: int, address: str | None, share: Share) -> None:
        """Count `count` more bytes, or fewer if it is negative.

        Raises:
            BodiesFull: one of the bounds is reached; nothing was counted.
        """
        while count > 0 and (reason := self._full(count, address, share)):
            if share is not Share.KEYED and self._make_room(share, address if "address" in reason else None):
                continue
            REFUSED.labels(reason).inc()
            whose = "from this address " if "address" in reason else ""
            raise BodiesFull(
                f"too many request bodies are arriving {whose}at the moment; wait a little and send it again"
                + ("" if share is Share.KEYED else ", with the key in a header or before large fields"),
                retry_after_s=_RETRY_S,
            )
        self._held[share] += count
        HELD.labels(share).inc(count)
        if address is not None:
            self._of_address[address, share] += count
            if not self._of_address[address, share]:
                del self._of_address[address, share]

    def forget(self, hold: "Hold") -> None:
        """Take note that `hold` has ended, or that its key is known."""
        self._strangers.pop(hold, None)

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
        if share is Share.UNKEYED and self._held[share] + count > shares.unkeyed:
            return "unkeyed"
        if address is not None:
            unkeyed = self._of_address[address, Share.UNKEYED]
            if share is Share.UNKEYED and unkeyed + count > shares.unkeyed_address:
                return "unkeyed address"
            if unkeyed + self._of_address[address, Share.KEYED] + count > shares.address:
                return "address"
        return ""

    def _make_room(self, share: Share, address: str | None) -> bool:
        """End the body of `share` that has stalled longest, of `address` if one is given; whether there was one."""
        before = self._clock() - STALLED_S
        holding = (one for one in self._strangers if one.has(share) and address in (None, one.address))
        oldest = min(holding, key=self._strangers.__getitem__, default=None)
        if oldest is None or self._strangers[oldest] > before:
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
        if self._keyed:
            self._grow(count, Share.KEYED)
            return
        self._grow(min(count, PORTION), Share.BEGINNING)
        if count > PORTION:
            self._grow(count - PORTION, Share.UNKEYED)

    def move(self) -> None:
        """Count the bytes against the share of holders of keys from now on.

        Raises:
            BodiesFull: the address has no room for them there.
        """
        if not self._keyed:
            count = self._counts.total()
            self.release()
            self._keyed = True
            self.cover(count)

    def came_on(self) -> None:
        """Take note that the body arrives as it should."""
        if not self._keyed:
            self._budget.came_on(self)

    def end(self) -> None:
        """Give all bytes back, because others need them and the body has stalled."""
        self.release()
        self.on_end()

    def release(self) -> None:
        """Give all bytes back. Doing it again changes nothing."""
        self._budget.forget(self)
        for share, count in self._counts.items():
            self._budget.take(-count, self.address, share)
        self._counts.clear()

    def _grow(self, count: int, share: Share) -> None:
        if count > self._counts[share]:
            self._budget.take(count - self._counts[share], self.address, share)
            self._counts[share] = count
