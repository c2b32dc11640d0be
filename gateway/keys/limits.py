"""How often: requests a minute of a key, wrong keys a minute of an address. Counted by the `limits` library.

Both are sliding windows: the last minute's count is weighted by how much of it is still within sixty seconds, so that
nobody gets twice the bound at the turn of a minute. Requests are counted in this process, or for all processes together
where CN_GATEWAY_LIMITS_URL says; wrong keys always here, so that guessing never costs a call to another machine.
"""

import ipaddress
import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.errors import ConfigurationError, StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from mesh.errors import Overloaded
from mesh.settings import SettingsError
from mesh.telemetry import log

WRONG_KEYS_PER_MINUTE = 60
"""Of one address; people mistype, and several share an address."""

_AWAY_S = 5.0


@dataclass
class Caller:
    """Who sent the request that is being answered.

    Attributes:
        address: of the client, as the proxy in front tells it.
        counted: ids of keys that this request was counted for: one that asks for its key twice is one request.
    """

    address: str = ""
    counted: set[str] = field(default_factory=set)


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)
"""Set by whoever takes a request in; None where nobody did: such requests share one place."""


class TooOften(Overloaded):
    """The caller's own bound was reached, not the deployment's."""


class Limits:
    """Counts requests and wrong keys.

    Args:
        url: of a storage that several processes share, in the form of limits' `storage_from_string`; "" for this
            process's memory.

    Raises:
        SettingsError: a storage that isn't known or whose client is not installed.
    """

    def __init__(self, url: str = "") -> None:
        self._here = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = _shared(url) if url else self._here
        self._wrong = RateLimitItemPerMinute(WRONG_KEYS_PER_MINUTE, namespace="wrong keys")
        self._away_until = 0.0

    def count(self, id: str, per_minute: int | None) -> None:
        """Count a request of the key `id`.

        Raises:
            TooOften: it made its `per_minute` requests; with the seconds until the next one is taken.
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
                f"this key may make {per_minute} requests a minute; wait a little",
                retry_after_s=_seconds_left(window, bound, id),
            )

    def _hit(self, bound: RateLimitItem, id: str) -> tuple[SlidingWindowCounterRateLimiter, bool]:
        """Where the request was counted, and whether it is within the bound."""
        if time.monotonic() >= self._away_until:
            try:
                return self._shared, self._shared.hit(bound, id)
            except StorageError as error:
                # A storage that is away must not be an outage: counting goes on in this process, and not every request
                # waits until the storage has not answered.
                log.error("shared limits can't be asked", reason=type(error).__name__)
                self._away_until = time.monotonic() + _AWAY_S
        return self._here, self._here.hit(bound, id)

    def note_wrong_key(self) -> None:
        """Count a wrong key against the caller's address.

        Raises:
            TooOften: too many came from there.
        """
        if not self._here.hit(self._wrong, _origin()):
            self.refuse_guesses()

    def refuse_guesses(self) -> None:
        """Refuse the caller without a look at the key, if too many wrong ones came from the same address.

        Raises:
            TooOften: so it is.
        """
        origin = _origin()
        if not self._here.test(self._wrong, origin):
            raise TooOften(
                "too many wrong API keys came from this address; wait a minute",
                retry_after_s=_seconds_left(self._here, self._wrong, origin),
            )


def _origin() -> str:
    """The caller's address; of IPv6 its network of 64 bits, within which one client chooses addresses freely."""
    caller = CALLER.get()
    text = caller.address if caller else ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return text


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
        # The library's words may hold the URL, and that a password.
        raise SettingsError(
            f"CN_GATEWAY_LIMITS_URL can't be used ({type(error).__name__}); it takes what the package limits calls a "
            "storage, such as redis://host:6379, with that storage's client installed; unset: each process counts alone"
        ) from None
