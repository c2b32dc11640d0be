"""When deliveries are attempted, how long they are kept, and by which clock."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Dialect

from gateway.database import tables

SCHEDULE_S = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Pauses before the attempts, as Standard Webhooks has them: three days in all."""
_JITTER = 0.1
_LONGEST_PAUSE_S = 86_400.0


@dataclass(frozen=True)
class Clock:
    """Time: seconds since 1970 as this process has them and as the database has them."""

    seconds: Callable[[], float] = time.time
    of_database: Callable[[Dialect], tables.Moment] = tables.now


@dataclass(frozen=True)
class Timing:
    """When what happens to a delivery.

    Attributes:
        retention_s: seconds that a finished one is remembered.
        schedule_s: pauses before the attempts.
        jitter: the share of a tenth by which a pause is longer, 0 to 1.
        grace_s: seconds after which one counts as overdue.
        look_s: seconds between two looks for such.
        clock: time.
    """

    retention_s: float = 86_400.0
    schedule_s: Sequence[float] = SCHEDULE_S
    jitter: Callable[[], float] = random.random
    grace_s: float = 5.0
    look_s: float = 2.0
    clock: Clock = field(default_factory=Clock)

    def pause_s(self, number: int, asked_s: float) -> float | None:
        """Seconds before the attempt after `number` attempts; None if there is no further one.

        Args:
            number: at least 1.
            asked_s: for which the receiver asks; it gets a day at most.
        """
        if number >= len(self.schedule_s):
            return None
        usual = self.schedule_s[number] * (1 + _JITTER * self.jitter())
        return max(usual, min(asked_s, _LONGEST_PAUSE_S))
