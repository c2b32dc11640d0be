"""Who is asking, and what he may: keys are looked up by their digests in a snapshot, without a wait.

A key of ours has 256 random bits. What protects short passwords, a slow hash with a salt, is for secrets that can be
guessed; of these nobody can try as many as there are, so that a plain SHA-256 hides them and costs a microsecond.
Keys are never compared with each other: a lookup tells by its time at most something about the digest of what was
sent, and who wants another digest can only try other keys. So nothing leaks of how near a guess was.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from gateway.jobs.job import Order
from gateway.keys.limits import Limits
from mesh.errors import Forbidden, Unauthenticated

ANYBODY = "anybody"
"""Owner of what is made where no keys are asked for."""
GENERATE, ADMIN = "generate", "admin"
SCOPES = (GENERATE, ADMIN)
"""What keys may be allowed: to make pictures, and to change the deployment. The second includes the first."""

UNGUESSABLE = 32
"""Characters from which on a key is taken to be random; shorter ones can be refused unseen, see Keys.holder."""
_LONGEST = 1024


Options = Mapping[str, Mapping[str, bool]]
"""Dialect -> option -> yes or no."""


@dataclass(frozen=True)
class Holder:
    """Whoever holds a key, and what the key allows.

    Attributes:
        owner: under which records are kept; several keys may belong to one. It leads to no key.
        key_id: public name of the key; "" where no keys are asked for.
        scopes: of SCOPES.
        most_waiting: jobs that the owner may have waiting; None: as many as the deployment takes.
        requests_per_minute: of this key; None: unbounded.
        most_priority: highest priority of the owner's jobs, 0 to 9; None: any.
        options: dialect -> its option -> yes or no, see gateway/commands/key_options.py; what is not there is as the
            deployment.
    """

    owner: str
    key_id: str = ""
    scopes: frozenset[str] = frozenset({GENERATE})
    most_waiting: int | None = None
    requests_per_minute: int | None = None
    most_priority: int | None = None
    options: Options = field(default_factory=dict)


class Keys:
    """The keys that this deployment knows.

    Args:
        configured: keys of the environment, in plain; each is an owner of its own, with every scope.
        limits: counts requests and wrong keys.
        always: ask for a key even if there are none, because others than this machine reach the gateway.
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
        """Whether requests need a key: there is one, or there was."""
        return self._asked_for

    @property
    def any(self) -> bool:
        """Whether there is a key that opens anything."""
        return bool(self._known)

    def learn(self, recorded: Mapping[bytes, Holder], ever: int) -> None:
        """Take over the recorded keys.

        Args:
            recorded: valid ones by digest.
            ever: how many there have been. With the last one revoked nobody is let in; it is not that everybody is.
        """
        self._asked_for = self._asked_for or ever > 0
        self._known = {**recorded, **self._configured}
        self._owners = _by_owner(self._known.values())

    def take_used(self) -> set[str]:
        """Ids of the keys that were used since this was asked last."""
        used, self._used = self._used, set()
        return used

    def owner(self, key: str | None) -> str:
        """Owner of `key`; as `holder`."""
        return self.holder(key).owner

    def holder(self, key: str | None, scope: str = GENERATE) -> Holder:
        """Holder of `key`, which must have `scope`. Called for every request that makes or reads something.

        Where no keys are asked for everybody may generate, and nobody may administer: any page in a browser can send
        requests to its own machine.

        Raises:
            Unauthenticated: no key, or an unknown one.
            Forbidden: the key doesn't have the scope.
            TooOften: the key made its requests, or too many wrong keys came from the caller's address.
        """
        found = self._found(key) if self._asked_for else Holder(ANYBODY)
        if scope not in found.scopes:
            raise Forbidden(
                f"this needs an API key with the scope {scope!r}; an operator makes one: "
                f"python -m gateway keys create --name NAME --scope {scope}"
            )
        self._limits.count(found.key_id, found.requests_per_minute)
        return found

    def settings_of(self, owner: str) -> Holder:
        """What all keys of `owner` allow together: the union of scopes, the lowest of each bound."""
        return self._owners.get(owner, Holder(owner))

    def bounded(self, order: Order) -> Order:
        """`order` within what the keys of its owner allow; everything that is submitted goes through here."""
        allowed = self.settings_of(order.owner)
        most = order.priority if allowed.most_priority is None else allowed.most_priority
        return replace(order, priority=min(order.priority, most), most_waiting=allowed.most_waiting)

    def _found(self, key: str | None) -> Holder:
        if not key:
            raise Unauthenticated("API key required")
        # An address that guesses is stopped before a short key could be hit. Long ones are looked up even then: they
        # can't be guessed, and their holders may share the address of somebody who tries, behind a proxy say.
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
    """SHA-256 of a key, which is all that is kept of it."""
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
        # They say how a key's own requests are answered.
        options={},
    )
