"""How far a picture may be from diffusers'. A scheduler that amplifies rounding may have a row of its own."""

from dataclasses import dataclass

from tests.parity.matrix import Case


@dataclass(frozen=True)
class Tolerance:
    """Greatest difference of any pixel, and mean difference, in 255ths."""

    most: int = 2
    mean: float = 0.1


#: Scheduler or feature -> tolerance, with the measured reason.
WIDER: dict[str, Tolerance] = {}


def tolerance(case: Case) -> Tolerance:
    """The wider of what the case's scheduler and feature may have."""
    rows = [WIDER[name] for name in (case.scheduler, case.feature) if name in WIDER]
    return Tolerance(max([2, *(row.most for row in rows)]), max([0.1, *(row.mean for row in rows)]))
