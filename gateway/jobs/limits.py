"""What bounds a job engine, and how long it waits for what."""

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
    """How many seconds the engine waits.

    Attributes:
        keep_s: between two looks at the records of jobs that are being made here: progress is written, and whether they
            go on is asked.
        look_s: between two looks at the records of jobs that somebody waits for: another process may be running them.
        patience_s: for which a mesh that is away is asked again for a job that nobody waits for; a model server takes
            its time to come back.
    """

    keep_s: float = 0.5
    look_s: float = 0.25
    patience_s: float = 120.0
