"""Authentication and authorization by API key: keys are looked up by digest in an in-memory snapshot.

Our keys have 256 random bits. A slow, salted hash protects secrets that can be guessed; these can't, so a plain SHA-256
is enough and takes a microsecond. Keys themselves are never compared: the time of a lookup can reveal something only
about the digest of the key that was sent, not about how close a guess was.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from gateway.jobs.job import Order
from gateway.keys.limits import CALLER, Limits
from mesh.errors import Forbidden, Unauthenticated

ANYBODY = "anybody"
"""Owner of everything that is made while no keys are required."""
GENERATE, ADMIN = "generate", "admin"
SCOPES = (GENERATE, ADMIN)
"""The scopes of keys: to make pictures, and to administer the deployment. The second includes the first."""

UNGUESSABLE = 32
"""Length in characters from which a key counts as random; shorter ones may be refused without a lookup."""
_LONGEST = 1024


Options = Mapping[str, Mapping[str, bool]]
"""Dialect -> option -> yes or no."""


@dataclass(frozen=True)
class Holder:
    """The holder of a key, and what the key allows.

    Attributes:
        owner: owner of the records; several keys may share one. It reveals no key.
        key_id: public id of the key; "" if no keys are required.
        scopes: of SCOPES.
        most_waiting: maximum of the owner's waiting jobs; None: only the deployment's limit applies.
        requests_per_minute: rate limit of this key; None: unlimited.
        most_priority: highest priority of the owner's jobs, 0 to 9; None: any.
        options: dialect -> its option -> yes or no, see gateway/commands/key_options.py; missing options default to the
            deployment's.
    """

    owner: str
    key_id: str = ""
    scopes: frozenset[str] = frozenset({GENERATE})
    most_waiting: int | None = None
    requests_per_minute: int | None = None
    most_priority: int | None = None
    options: Options = field(default_factory=dict)


class Keys:
    """The keys of this deployment.

    Args:
        configured: keys from the environment, in plain text; each is an owner of its own, with every scope.
        limits: counts requests and wrong keys.
        always: whether a key is required even if there are none, because other machines can reach the gateway.
    """

    def __init__(self, configured: Iterable[str] = (), limits: Limits | None = None, always: bool = False) -> None:
        self._configured = {digest_of(key): _configured(key) for key in configured}
        self._limits = limits or Limits()
        self._asked_for = always or bool(self._configured)
        self._used: set[str] = set()
        self._known: Mapping[bytes, Holder] = self._configured
        self._owners = _by_owner(self._known.values())

    @property
    def asked_for(self) -> bool:
        """Whether requests need a key: there is one, or there was one."""
        return self._asked_for

    @property
    def any(self) -> bool:
        """Whether there is a valid key."""
        return bool(self._known)

    def learn(self, recorded: Mapping[bytes, Holder], ever: int) -> None:
        """Replace the snapshot of recorded keys.

        Args:
            recorded: valid keys by digest.
            ever: how many there have ever been: when the last key is revoked, keys are still required.
        """
        self._asked_for = self._asked_for or ever > 0
        self._known = {**recorded, **self._configured}
        self._owners = _by_owner(self._known.values())

    def take_used(self) -> set[str]:
        """Ids of the keys that were used since the last call."""
        used, self._used = self._used, set()
        return used

    def owner(self, key: str | None) -> str:
        """Owner of `key`; raises as `holder`."""
        return self.holder(key).owner

    def holder(self, key: str | None, scope: str = GENERATE) -> Holder:
        """Holder of `key`, which must have `scope`. Called for every request that creates or reads something.

        If no keys are required, everybody may generate but nobody may administer: any web page in a browser can send
        requests to the browser's own machine.

        Raises:
            Unauthenticated: no key, or an unknown one.
            Forbidden: the key lacks the scope.
            TooOften: the key's rate limit is reached, or too many wrong keys came from the caller's address.
        """
        found = self._found(key) if self._asked_for else Holder(ANYBODY)
        if scope not in found.scopes:
            raise Forbidden(
                f"this requires an API key with the scope {scope!r}; an operator can create one: "
                f"python -m gateway keys create --name NAME --scope {scope}"
            )
        self._limits.count(found.key_id, found.requests_per_minute)
        if (caller := CALLER.get()) is not None:
            caller.administers = ADMIN in found.scopes or not self._asked_for
        return found

    def knows(self, key: str | None) -> bool:
        """Whether `key` is valid, or none is required, before the request is served: nothing is counted.

        A short key of an address that guesses is unknown.
        """
        if not self._asked_for:
            return True
        if not key or len(key) > _LONGEST:
            return False
        if len(key) < UNGUESSABLE and self._limits.is_guessing():
            return False
        return digest_of(key) in self._known

    def settings_of(self, owner: str) -> Holder:
        """What all keys of `owner` allow together: the union of their scopes, the lowest of each limit."""
        return self._owners.get(owner, Holder(owner))

    def bounded(self, order: Order) -> Order:
        """`order`, limited to what the keys of its owner allow; every submitted order passes through here."""
        allowed = self.settings_of(order.owner)
        most = order.priority if allowed.most_priority is None else allowed.most_priority
        return replace(
            order,
            priority=min(order.priority, most),
            most_waiting=allowed.most_waiting,
            is_sole=not self._asked_for,
        )

    def _found(self, key: str | None) -> Holder:
        if not key:
            raise Unauthenticated("API key required")
        # An address that guesses is blocked before it could hit a short key. Long keys are looked up even then: they
        # can't be guessed, and their holders may share an address with the guesser, for instance behind a proxy.
        if len(key) < UNGUESSABLE:
            self._limits.refuse_guesses()
        holder = self._known.get(digest_of(key)) if len(key) <= _LONGEST else None
        if holder is None:
            self._limits.note_wrong_key()
            raise Unauthenticated("Invalid API key")
        if holder.key_id:
            self._used.add(holder.key_id)
        return holder


def digest_of(key: str) -> bytes:
    """SHA-256 of a key, the only form in which it is stored."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()


def _configured(key: str) -> Holder:
    owner = hashlib.sha256(digest_of(key)).hexdigest()[:16]
    return Holder(owner, scopes=frozenset(SCOPES))


def _by_owner(holders: Iterable[Holder]) -> dict[str, Holder]:
    owners: dict[str, Holder] = {}
    for holder in holders:
        known = owners.get(holder.owner)
        owners[holder.owner] = holder if known is None else _together(known, holder)
    return owners


def _together(one: Holder, other: Holder) -> Holder:
    def lowest(*bounds: int | None) -> int | None:
        return min((bound for bound in bounds if bound is not None), default=None)

    return replace(
        one,
        key_id="",
        scopes=one.scopes | other.scopes,
        most_waiting=lowest(one.most_waiting, other.most_waiting),
        requests_per_minute=None,
        most_priority=lowest(one.most_priority, other.most_priority),
        # Options apply per key, not per owner.
        options={},
    )
