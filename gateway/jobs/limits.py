"""What bounds a job engine, and how often it looks after its records."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """How much there may be.

    Attributes:
        max_pictures: pictures made at the same time in this process.
        max_waiting: jobs that may wait, over all processes that share the records.
        retention_s: seconds that a finished record is kept.
    """

    max_pictures: int
    max_waiting: int
    retention_s: float


@dataclass(frozen=True)
class Timing:
    """Seconds between two looks.

    Attributes:
        keep_s: at the records of jobs that are being made here: progress is written, and whether they go on is asked.
        look_s: at the records of jobs that somebody waits for: another process may be running them.
    """

    keep_s: float = 0.5
    look_s: float = 0.25
