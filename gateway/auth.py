"""Who is asking: API keys, kept and compared as SHA-256 digests."""

import hashlib
import hmac
from collections.abc import Iterable

from mesh.errors import Unauthenticated

ANYBODY = "anybody"


class Keys:
    """The keys that this deployment knows.

    Args:
        keys: in plain; empty means that nobody is asked for one (allowed on loopback only, see settings).
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    @property
    def asked_for(self) -> bool:
        """Whether requests need a key."""
        return bool(self._digests)

    def owner(self, key: str | None) -> str:
        """Name of the holder of `key`, under which generations are kept: not the key, nor anything that leads to it.

        Raises:
            Unauthenticated: no key, or an unknown one.
        """
        if not self._digests:
            return ANYBODY
        if not key:
            raise Unauthenticated("API key required")
        digest = _digest(key)
        # All are compared, so that the time tells nothing about which one matched or how far.
        if not sum(hmac.compare_digest(digest, known) for known in self._digests):
            raise Unauthenticated("Invalid API key")
        return hashlib.sha256(digest).hexdigest()[:16]


def bearer(authorization: str | None) -> str | None:
    """The token of an `Authorization: Bearer` header, or None."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
