"""When a request is sent again, and after how long."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from controlmesh_client.messages import Answer, Cut

PASSING = frozenset({429, 502, 503, 504})
"""Statuses that may pass by themselves."""


@dataclass(frozen=True)
class Patience:
    """How often and how long a request is tried.

    Attributes:
        attempts: of one request in all; 1 tries nothing again.
        first_s: longest pause after the first attempt where the mesh names none; each further one is twice as long.
        most_s: longest pause. A mesh that asks for more gets no further attempt: the error says how long.
    """

    attempts: int = 5
    first_s: float = 0.5
    most_s: float = 30.0

    def pause_s(self, given: Answer | Cut, tried: int, chance: float, now: datetime | None = None) -> float | None:
        """Seconds until the next attempt; None for no other attempt.

        Args:
            given: what came of the last attempt.
            tried: attempts so far, from 1.
            chance: from 0 to 1, so that not all who were refused together come back together.
            now: moment that dates are counted from; the clock's where it is left out.
        """
        if tried >= self.attempts or (isinstance(given, Answer) and not passes(given)):
            return None
        backoff: float = min(self.most_s, self.first_s * 2.0 ** (tried - 1)) * (0.5 + chance / 2)
        asked = retry_after_s(given.headers, now) if isinstance(given, Answer) else None
        if asked is None:
            return backoff
        # No sooner than was asked for.
        return None if asked > self.most_s else asked + self.first_s * chance / 2


def passes(answer: Answer) -> bool:
    """Whether the same request may succeed later. A generation that was taken and then failed has a place of its own:
    under its key it stays failed."""
    return answer.status in PASSING and "location" not in answer.headers


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that Retry-After asks for (RFC 9110, section 10.2.3), be it a number or a date; None without one."""
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
