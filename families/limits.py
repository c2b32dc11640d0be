"""Limits that hold in every room, so that a request the gateway takes is one that the services take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """Least and greatest value allowed, and the step between allowed values (0: any)."""

    least: float
    most: float
    step: int = 0

    def holds(self, value: float) -> bool:
        """Whether `value` is allowed; NaN never is."""
        return self.least <= value <= self.most and (not self.step or value % self.step == 0)

    def __str__(self) -> str:
        text = f"{self.least:g} to {self.most:g}"
        return f"{text} in steps of {self.step}" if self.step else text


SIDE = Range(64, 1024, 8)
"""Width and height of a picture, pixels."""
STEPS = Range(1, 150)
GUIDANCE_SCALE = Range(1, 20)
"""1 means without guidance."""
CONTROL_WEIGHT = Range(0, 20)
CONTROL_WINDOW = Range(0, 1)
"""Fractions of the steps between which a control acts."""
CLIP_SKIP = Range(0, 8)
SAMPLES = Range(1, 4)
SEED = Range(0, 2**32 - 1)

MAX_CONTROLS = 5
MAX_PROMPT_CHARACTERS = 16_384
