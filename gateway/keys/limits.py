"""Rate limits: requests per minute of a key, wrong keys per minute of an address, counted by the `limits` library.

Both are sliding windows: the previous minute's count is weighted by how much of it lies within the last sixty seconds,
so nobody gets twice the limit around the turn of a minute. Requests are counted in this process, or for all processes
together in CN_GATEWAY_LIMITS_URL; wrong keys always in this process, so that guesses cause no call to another machine.
"""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from gateway.web.origin import origin
from mesh.errors import TooOften
from mesh.settings import SettingsError
from mesh.telemetry import log

WRONG_KEYS_PER_MINUTE = 60
"""Limit of one address; people mistype, and several may share an address."""

_AWAY_S = 5.0


@dataclass
class Caller:
    """The sender of the current request.

    Attributes:
        address: the client's address, as the trusted proxy reports it.
        counted: ids of the keys that this request was counted for, so that checking a key twice counts once.
        administers: whether it may be told commands for administrators: its key has that scope, or no keys are
            required, which is on loopback only.
    """

    address: str = ""
    counted: set[str] = field(default_factory=set)
    administers: bool = False


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Set for each incoming request; requests without one share a single address."""


class Limits:
    """Counts requests and wrong keys.

    Args:
        url: of a storage that several processes share, in the form of limits' `storage_from_string`; "" for this
            process's memory.

    Raises:
        SettingsError: the storage is unknown, or its client library is not installed.
    """

    def __init__(self, url: str = "") -> None:
        self._here = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = _shared(url) if url else self._here
        self._wrong = RateLimitItemPerMinute(WRONG_KEYS_PER_MINUTE, namespace="wrong keys")
        self._away_until = 0.0

    def count(self, id: str, per_minute: int | None) -> None:
        """Count a request of the key `id`.

        Raises:
            TooOften: the limit is reached; with the seconds until the next request is accepted.
        """
        caller = CALLER.get()
        if per_minute is None or (caller is not None and id in caller.counted):
            return
        if caller is not None:
            caller.counted.add(id)
        bound = RateLimitItemPerMinute(per_minute, namespace="requests")
        window, taken = self._hit(bound, id)
        if not taken:
            raise TooOften(
                f"this key is limited to {per_minute} requests per minute; wait and try again",
                retry_after_s=_seconds_left(window, bound, id),
            )

    def _hit(self, bound: RateLimitItem, id: str) -> tuple[SlidingWindowCounterRateLimiter, bool]:
        """The limiter that counted the request, and whether it is within the limit."""
        if time.monotonic() >= self._away_until:
            try:
                return self._shared, self._shared.hit(bound, id)
            except StorageError as error:
                # An unavailable storage must not be an outage: counting continues in this process, and for a while the
                # storage is not tried, so that not every request waits for its timeout.
                log.error("storage of shared limits not available", reason=type(error).__name__)
                self._away_until = time.monotonic() + _AWAY_S
        return self._here, self._here.hit(bound, id)

    def note_wrong_key(self) -> None:
        """Count a wrong key against the caller's address.

        Raises:
            TooOften: too many came from that address.
        """
        if not self._here.hit(self._wrong, _origin()):
            self.refuse_guesses()

    def is_guessing(self) -> bool:
        """Whether too many wrong keys came from the caller's address."""
        return not self._here.test(self._wrong, _origin())

    def refuse_guesses(self) -> None:
        """Refuse the caller without a lookup if too many wrong keys came from the same address.

        Raises:
            TooOften: too many wrong keys came from that address.
        """
        if self.is_guessing():
            address = _origin()
            raise TooOften(
                "too many wrong API keys came from this address; wait a minute",
                retry_after_s=_seconds_left(self._here, self._wrong, address),
            )


def _origin() -> str:
    """The caller's address, as it is counted."""
    caller = CALLER.get()
    return origin(caller.address if caller else "")


def _seconds_left(window: SlidingWindowCounterRateLimiter, bound: RateLimitItem, id: str) -> float:
    try:
        reset_at = window.get_window_stats(bound, id).reset_time
    except StorageError:
        return float(bound.get_expiry())
    return max(1.0, reset_at - time.time())


def _shared(url: str) -> SlidingWindowCounterRateLimiter:
    try:
        return SlidingWindowCounterRateLimiter(storage_from_string(url, wrap_exceptions=True))
    except (ConfigurationError, NotImplementedError, StorageError) as error:
        # The library's message may contain the URL, which may contain a password.
        raise SettingsError(
            f"CN_GATEWAY_LIMITS_URL can't be used ({type(error).__name__}); it takes what the package limits calls a "
            "storage, such as redis://host:6379, with that storage's client installed; unset: each process counts "
            "its own"
        ) from None
