"""One budget of bytes for all request bodies that a process holds at the same time.

Bodies whose sender is not known yet have a smaller share of it than those of holders of keys, and one address has only
a part of either, so that no sender can make the process large or keep others out.
"""

from collections import Counter
from dataclasses import dataclass

from prometheus_client import Counter as Count
from prometheus_client import Gauge

from mesh.errors import Unavailable

HELD = Gauge("cn_body_bytes", "Bytes of request bodies held by this process, by whether their key is known.", ["share"])
REFUSED = Count("cn_bodies_refused_total", "Request bodies refused before they were whole, by reason.", ["reason"])

_RETRY_S = 2.0
# Parts of the budget: of one address, of all senders without a known key, of one address without one.
_ADDRESS, _UNKEYED, _UNKEYED_ADDRESS = 2, 4, 8
_SHARES = {False: "unkeyed", True: "keyed"}


class BodiesFull(Unavailable):
    """The process holds as many bytes of bodies as it may; the same request may succeed a little later."""


@dataclass(frozen=True)
class Shares:
    """The most bytes that may be held at the same time.

    Attributes:
        total: of all bodies.
        address: of all bodies of one address.
        unkeyed: of all bodies without a known key.
        unkeyed_address: of all bodies of one address without a known key.
    """

    total: int
    address: int
    unkeyed: int
    unkeyed_address: int

    @classmethod
    def of(cls, total: int, largest: int) -> "Shares":
        """The shares of a budget of `total` bytes; each has room for one body of `largest` bytes."""
        return cls(total, *(max(total // part, largest) for part in (_ADDRESS, _UNKEYED, _UNKEYED_ADDRESS)))


class ByteBudget:
    """Counts the bytes of bodies in this process.

    Args:
        total: most bytes of all bodies together.
        largest: most bytes of one body, at most `total`.
    """

    def __init__(self, total: int, largest: int) -> None:
        self._shares = Shares.of(total, largest)
        self._held = dict.fromkeys(_SHARES, 0)
        self._of_address: Counter[tuple[str, bool]] = Counter()

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

    def take(self, count: int, address: str | None, keyed: bool) -> None:
        """Count `count` more bytes, or fewer if it is negative.

        Raises:
            BodiesFull: one of the bounds is reached; nothing was counted.
        """
        if count > 0 and (reason := self._full(count, address, keyed)):
            REFUSED.labels(reason).inc()
            whose = "from this address " if "address" in reason else ""
            raise BodiesFull(
                f"too many request bodies are arriving {whose}at the moment; wait a little and send it again"
                + ("" if keyed else ", with the key in a header or before large fields"),
                retry_after_s=_RETRY_S,
            )
        self._held[keyed] += count
        HELD.labels(_SHARES[keyed]).inc(count)
        if address is not None:
            self._of_address[address, keyed] += count
            if not self._of_address[address, keyed]:
                del self._of_address[address, keyed]

    def _full(self, count: int, address: str | None, keyed: bool) -> str:
        """Which bound does not allow `count` more bytes; "" if all do."""
        shares = self._shares
        if self.held + count > shares.total:
            return "budget"
        if not keyed and self._held[False] + count > shares.unkeyed:
            return "unkeyed"
        if address is not None:
            unkeyed = self._of_address[address, False]
            if not keyed and unkeyed + count > shares.unkeyed_address:
                return "unkeyed address"
            if unkeyed + self._of_address[address, True] + count > shares.address:
                return "address"
        return ""


class Hold:
    """The bytes that one body takes of a budget."""

    def __init__(self, budget: ByteBudget, address: str | None, keyed: bool) -> None:
        self._budget = budget
        self._address = address
        self._keyed = keyed
        self._count = 0

    @property
    def count(self) -> int:
        """Bytes held."""
        return self._count

    @property
    def keyed(self) -> bool:
        """Whether they count against the share of holders of keys."""
        return self._keyed

    def cover(self, count: int) -> None:
        """Hold at least `count` bytes.

        Raises:
            BodiesFull: there is no room for them.
        """
        if count > self._count:
            self._budget.take(count - self._count, self._address, self._keyed)
            self._count = count

    def move(self) -> None:
        """Count the bytes against the share of holders of keys from now on."""
        if not self._keyed:
            # First back, then again: the bytes must not count twice, and they fit in where they were.
            self._budget.take(-self._count, self._address, False)
            self._budget.take(self._count, self._address, True)
            self._keyed = True

    def release(self) -> None:
        """Give all bytes back. Doing it again changes nothing."""
        self._budget.take(-self._count, self._address, self._keyed)
        self._count = 0
