"""Retry policy of requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from controlmesh_client.messages import Answer, Cut

PASSING = frozenset({429, 502, 503, 504})
"""Statuses that are worth a retry."""


@dataclass(frozen=True)
class Patience:
    """How often a request is attempted, and the pauses between attempts.

    Attributes:
        attempts: maximum number of attempts of a request; 1: no retries.
        first_s: maximum pause after the first attempt if the mesh names none; doubled for each further one.
        most_s: maximum pause. If the mesh asks for more, there is no retry: the error says how long.
    """

    attempts: int = 5
    first_s: float = 0.5
    most_s: float = 30.0

    def pause_s(self, given: Answer | Cut, tried: int, chance: float, now: datetime | None = None) -> float | None:
        """Seconds until the next attempt; None for no other attempt.

        Args:
            given: the result of the last attempt.
            tried: attempts so far, from 1.
            chance: random number from 0 to 1, so that callers who were refused together don't retry together.
            now: current time for Retry-After dates; left out: the clock's.
        """
        if tried >= self.attempts or (isinstance(given, Answer) and not passes(given)):
            return None
        backoff: float = min(self.most_s, self.first_s * 2.0 ** (tried - 1)) * (0.5 + chance / 2)
        asked = retry_after_s(given.headers, now) if isinstance(given, Answer) else None
        if asked is None:
            return backoff
        # Not earlier than requested.
        return None if asked > self.most_s else asked + self.first_s * chance / 2


def passes(answer: Answer) -> bool:
    """Whether a retry may succeed. An accepted generation that failed, recognized by its Location, is not retried: with
    its idempotency key it stays failed."""
    return answer.status in PASSING and "location" not in answer.headers


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds in Retry-After (RFC 9110, section 10.2.3), a number or a date; None without one."""
    sent = headers.get("retry-after", "").strip()
    if sent.isascii() and sent.isdigit():
        return float(sent[:9])
    try:
        moment = parsedate_to_datetime(sent)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
