"""An allowance of unkeyed work: what one address may cost a minute with bodies in which no valid key is found.

Work is counted in bytes: each byte of a body is one, and what is slower to look over than plain text counts for as many
more as take that time (`Scan.work`). So the count is the same on every machine, however busy it is.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Counter as Count

from gateway.web.budget import REFUSED
from mesh.errors import TooOften

MOST_ADDRESSES = 10_000
"""Most addresses whose work is remembered; beyond it, the one that cost something longest ago is forgotten."""
_WINDOW_S = 60.0
# Bodies of one address that are still being read may cost so many allowances together, or so many times two of the
# largest bodies if that is more: a valid key may yet be found in them, and holders may send some at once.
_PENDING = 4
SPENT = Count(
    "cn_unkeyed_body_work_bytes_total",
    "Work with request bodies in which no valid key was found, in bytes of plain text.",
)


class UnkeyedTooOften(TooOften):
    """The sender's address has spent its allowance of unkeyed work.

    Args:
        retry_after_s: seconds until there is some left.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(
            "too many or too large request bodies without a valid key came from this address; send the key in a "
            "header, or wait a minute",
            retry_after_s=retry_after_s,
        )


@dataclass
class _Spent:
    """What an address has spent in the window `number`, and in the one before it."""

    number: int
    now: int = 0
    before: int = 0


class Allowance:
    """Counts unkeyed work by address, over a sliding minute: the previous minute's weighs by what is left of it.

    Args:
        per_minute: allowance of one address, in bytes of plain text; 0: any.
        largest: most bytes of a body.
        clock: seconds.
    """

    def __init__(self, per_minute: int = 0, largest: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._most_pending = _PENDING * max(per_minute, 2 * largest)
        self._clock = clock
        self._spent: OrderedDict[str, _Spent] = OrderedDict()
        self._pending: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._spent)

    def begin(self, address: str | None) -> "Work":
        """The work with a body of `address`, of which nothing was read; of None, nothing is counted.

        Raises:
            UnkeyedTooOften: the allowance of the address is spent.
        """
        counted = address if self._per_minute else None
        if counted is not None and self.spent(counted) >= self._per_minute:
            raise self._refusal(counted)
        return Work(self, counted)

    def spent(self, address: str) -> float:
        """What `address` spent within the last minute."""
        known = self._moved_on(address)
        return known.now + known.before * (1.0 - self._passed()) if known else 0.0

    def pend(self, address: str, count: int) -> None:
        """Count `count` more, or fewer if negative, for bodies of `address` in which a key may yet be found.

        Raises:
            UnkeyedTooOften: it is more than any sender of keys has under way.
        """
        self._pending[address] += count
        if not self._pending[address]:
            del self._pending[address]
        if count > 0 and self._pending[address] > self._most_pending:
            raise self._refusal(address)

    def spend(self, address: str, count: int) -> None:
        """Count `count` against the allowance of `address`."""
        if not count:
            return
        SPENT.inc(count)
        known = self._moved_on(address) or _Spent(self._number())
        known.now += count
        self._spent[address] = known
        self._spent.move_to_end(address)
        if len(self._spent) > MOST_ADDRESSES:
            self._spent.popitem(last=False)

    def _refusal(self, address: str) -> UnkeyedTooOften:
        REFUSED.labels("unkeyed work").inc()
        known = self._moved_on(address)
        if known is None or known.now + known.before < self._per_minute:
            return UnkeyedTooOften(1.0)
        if known.now < self._per_minute:
            until = 1.0 - (self._per_minute - known.now) / known.before
        else:
            until = 2.0 - self._per_minute / known.now
        return UnkeyedTooOften(max(1.0, (until - self._passed()) * _WINDOW_S))

    def _moved_on(self, address: str) -> _Spent | None:
        """What is remembered of `address`, in the window of now."""
        known = self._spent.get(address)
        if known is not None and (since := self._number() - known.number):
            known.number, known.now, known.before = self._number(), 0, known.now if since == 1 else 0
        return known

    def _number(self) -> int:
        return int(self._clock() // _WINDOW_S)

    def _passed(self) -> float:
        """The part of this window that has passed."""
        return self._clock() % _WINDOW_S / _WINDOW_S


class Work:
    """The work with one body: nothing if a valid key is found, else counted when it ends."""

    def __init__(self, allowance: Allowance, address: str | None) -> None:
        self._allowance = allowance
        self._address = address
        self._count = 0

    def reach(self, count: int) -> None:
        """The work with what was read so far is `count`.

        Raises:
            UnkeyedTooOften: see Allowance.pend.
        """
        if self._address is not None:
            more, self._count = count - self._count, count
            self._allowance.pend(self._address, more)

    def forgive(self) -> None:
        """A valid key was found: nothing is counted, now or later."""
        self.reach(0)
        self._address = None

    def end(self) -> None:
        """No valid key was found, unless it was forgiven. Doing it again changes nothing."""
        if self._address is not None:
            address, count = self._address, self._count
            self.forgive()
            self._allowance.spend(address, count)
