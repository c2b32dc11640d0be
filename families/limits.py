"""Limits that hold in every room, so that a request the gateway takes is one that the services take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """Least and greatest value allowed; with a `multiple` above 1, only its multiples are."""

    minimum: float
    maximum: float
    multiple: int = 1

    def holds(self, value: float) -> bool:
        """Whether `value` is allowed; NaN never is."""
        return self.minimum <= value <= self.maximum and (self.multiple == 1 or value % self.multiple == 0)

    def clamp(self, value: float) -> float:
        """The allowed value nearest to `value`, rounded down to the multiple."""
        inside = min(max(value, self.minimum), self.maximum)
        return inside if self.multiple == 1 else inside // self.multiple * self.multiple

    def __str__(self) -> str:
        text = f"{self.minimum:g} to {self.maximum:g}"
        return text if self.multiple == 1 else f"{text}, a multiple of {self.multiple}"


PROMPT_CHARACTERS = 16_384
MOST_CONTROLS = 5
MOST_HINTS = 16
"""Hints of one request for hints alone."""
HINT_CHARACTERS = 1_000
"""Of the words that a hint is made from (qrcode)."""
WEIGHT = Range(0, 20)
"""Conditioning scale of a control."""
FRACTION = Range(0, 1)
"""Of the steps: where a control begins and ends."""
SIDE = Range(64, 1024, multiple=8)
"""Width and height of a picture, pixels."""
STEPS = Range(1, 150)
GUIDANCE = Range(1, 20)
"""Guidance scale; 1 means without guidance."""
TRUE_GUIDANCE = Range(1, 20)
"""Guidance scale of models that also take one as an input; 1 means without guidance."""
SEED = Range(0, 2**32 - 1)
SAMPLES = Range(1, 4)
CLIP_SKIP = Range(0, 8)

PROMPT_CHUNKS = 8
"""Lengths of the text encoder that a prompt may have; what is longer is dropped, and said."""
STRENGTH = Range(0, 1)
"""How much of the initial picture is changed: the share of the steps that are run."""
PREVIEW_EVERY = Range(0, 150)
"""Model calls from one preview to the next; 0 for none."""

DEFAULT_STRENGTH = 0.8
"""That of diffusers' image-to-image pipelines."""
DEFAULT_WEIGHT = 1.0
"""The strength that a ControlNet was trained at."""
DEFAULT_END = 1.0
"""A control acts to the last step."""
