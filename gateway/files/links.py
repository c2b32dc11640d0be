"""Signed, expiring links: whoever holds one may use it until it expires, without a key."""

import hashlib
import hmac
import math
import time
from collections.abc import Callable

from mesh.errors import Forbidden

_GRAIN_S = 60
"""Expiry times are rounded up to a multiple of it, so that repeated links are mostly equal, which helps caches."""
_LONGEST_S = 100 * 365 * 86_400
_REFUSED = "this link has expired or was altered; request a new one"


class Links:
    """Signs links and checks them.

    Args:
        key: shared by all processes that serve the links.
        clock: seconds since 1970.
    """

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock

    def end(self, expires_s: float) -> int:
        """When a link that is made now and lives `expires_s` seconds expires, in seconds since 1970."""
        at = self._clock() + min(max(expires_s, 0.0), _LONGEST_S)
        return math.ceil(at / _GRAIN_S) * _GRAIN_S

    def query(self, subject: str, end: int) -> str:
        """The query to append to the URL of `subject`."""
        return f"?expires={end}&signature={self._signature(subject, end)}"

    def check(self, subject: str, expires: str | None, signature: str | None) -> None:
        """Check the signature and the expiry of a link to `subject`.

        Raises:
            Forbidden: missing or wrong signature, or expired; the message is the same for all.
        """
        well_formed = expires is not None and expires.isascii() and expires.isdigit() and len(expires) <= 12
        end = int(expires) if expires is not None and well_formed else 0
        # Compared even if it can't match, so that the timing reveals nothing.
        same = hmac.compare_digest(self._signature(subject, end).encode(), (signature or "").encode("utf-8", "replace"))
        if not (well_formed and same and end > self._clock()):
            raise Forbidden(_REFUSED)

    def _signature(self, subject: str, end: int) -> str:
        return hmac.new(self._key, f"{end}\n{subject}".encode(), hashlib.sha256).hexdigest()
