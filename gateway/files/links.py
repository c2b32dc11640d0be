"""Signed, time-limited links: who holds one may do what it says until it ends, and needs no key."""

import hashlib
import hmac
import math
import time
from collections.abc import Callable

from mesh.errors import Forbidden

_GRAIN_S = 60
"""Ends are rounded up to it, so that the same link asked for twice is mostly the same text, which caches know again."""
_LONGEST_S = 100 * 365 * 86_400
_REFUSED = "this link has ended or was changed; ask for a new one"


class Links:
    """Signs and checks.

    Args:
        key: shared by all processes that serve the links.
        clock: seconds since 1970.
    """

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    def end(self, expires_s: float) -> int:
        """When a link that is made now and good for `expires_s` ends, in seconds since 1970."""
        at = self._clock() + min(max(expires_s, 0.0), _LONGEST_S)
        return math.ceil(at / _GRAIN_S) * _GRAIN_S

    def query(self, subject: str, end: int) -> str:
        """What to append to the URL of `subject`."""
        return f"?expires={end}&signature={self._signature(subject, end)}"

    def check(self, subject: str, expires: str | None, signature: str | None) -> None:
        """Whether the link leads to `subject` now.

        Raises:
            Forbidden: no signature, another's, or a link that has ended; one text for all.
        """
        well_formed = expires is not None and expires.isascii() and expires.isdigit() and len(expires) <= 12
        end = int(expires) if expires is not None and well_formed else 0
        # Compared even where it can't match, so that the time tells nothing.
        same = hmac.compare_digest(self._signature(subject, end).encode(), (signature or "").encode("utf-8", "replace"))
        if not (well_formed and same and end > self._clock()):
            raise Forbidden(_REFUSED)

    def _signature(self, subject: str, end: int) -> str:
        return hmac.new(self._key, f"{end}\n{subject}".encode(), hashlib.sha256).hexdigest()
