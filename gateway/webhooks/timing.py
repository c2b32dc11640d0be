"""Schedule of delivery attempts, retention time, and clock."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Dialect

from gateway.database import tables

SCHEDULE_S = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Pauses before the attempts in seconds, as recommended by Standard Webhooks: three days in total."""
_JITTER = 0.1
_LONGEST_PAUSE_S = 86_400.0


@dataclass(frozen=True)
class Clock:
    """The current time in seconds since 1970, by this process and by the database."""

    seconds: Callable[[], float] = time.time
    of_database: Callable[[Dialect], tables.Moment] = tables.now


@dataclass(frozen=True)
class Timing:
    """The timing of deliveries.

    Attributes:
        retention_s: seconds for which a finished delivery is kept.
        schedule_s: pauses before the attempts in seconds.
        jitter: returns 0 to 1; each pause is longer by a tenth of itself times this.
        grace_s: seconds after its time from which a delivery counts as overdue.
        look_s: interval in seconds of the search for overdue deliveries.
        clock: the current time.
    """

    retention_s: float = 86_400.0
    schedule_s: Sequence[float] = SCHEDULE_S
    jitter: Callable[[], float] = random.random
    grace_s: float = 5.0
    look_s: float = 2.0
    clock: Clock = field(default_factory=Clock)

    def pause_s(self, number: int, asked_s: float) -> float | None:
        """Pause in seconds before the attempt after `number` attempts; None if there is no further one.

        Args:
            number: at least 1.
            asked_s: the pause that the receiver asked for; at most a day is granted.
        """
        if number >= len(self.schedule_s):
            return None
        usual = self.schedule_s[number] * (1 + _JITTER * self.jitter())
        return max(usual, min(asked_s, _LONGEST_PAUSE_S))
