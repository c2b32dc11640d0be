"""What a family of models says of itself: its limits, and how its graphs differ from those of others."""

from __future__ import annotations

from dataclasses import dataclass

from families.limits import Range


@dataclass(frozen=True, slots=True)
class Family:
    """A family, one row of `families.table`. Whatever is not said here follows from a model's facts.

    side: width and height of a picture, pixels; most_pixels: of a picture; steps, guidance: what a request gets that
    leaves them out, where the model's card says nothing else.
    """

    name: str
    title: str
    """What people call it."""
    side: Range
    most_pixels: int
    steps: int
    guidance: float
    most_controls: int
    """ControlNets at once."""
