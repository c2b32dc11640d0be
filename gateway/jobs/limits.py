"""Limits of a job engine, its polling intervals and its patience."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """Limits of a job engine.

    Attributes:
        max_pictures: pictures made at the same time in this process.
        max_waiting: waiting jobs, over all processes that share the records.
        retention_s: seconds for which a finished record is kept.
        owner_share: an owner's waiting jobs are at most this many times the waiting places that are free; 0: any.
        owner_records: maximum number of an owner's records, finished ones included; 0: any.
        everybody: the owner that everybody is where no keys are asked for, who need not leave others a place.
    """

    max_pictures: int
    max_waiting: int
    retention_s: float
    owner_share: float = 0.0
    owner_records: int = 0
    everybody: str = ""


@dataclass(frozen=True)
class Timing:
    """Polling intervals and patience in seconds.

    Attributes:
        keep_s: for jobs running in this process: writes their progress, and checks whether they were cancelled.
        look_s: for jobs that somebody waits for, which another process may be running.
        patience_s: for which an unavailable mesh is retried for a job that nobody waits for; a model server restarts
            slowly.
    """

    keep_s: float = 0.5
    look_s: float = 0.25
    patience_s: float = 120.0
