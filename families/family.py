"""What a family of models says of itself: its limits, and how its graphs differ from those of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
    skips: Literal["both", "positive"] = "both"
    """Which prompts leave out layers of the text encoder: in diffusers' SDXL pipelines the positive one alone."""

    def check_size(self, width: int, height: int) -> tuple[str, str] | None:
        """(field, what is wrong) with the size of a picture in pixels; None if it is one that the family makes."""
        for field, side in (("width", width), ("height", height)):
            if not self.side.holds(side):
                return field, f"{field} must be {self.side}, not {side}"
        if width * height > self.most_pixels:
            return "width", f"width times height must be at most {self.most_pixels}, not {width * height}"
        return None
