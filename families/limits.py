"""Limits of requests, the same in every service: what the gateway accepts the services accept, too."""

from dataclasses import dataclass

_ALL_DIGITS = 1e16
"""Up to here a float has every digit of a whole number."""


def plain(number: float) -> str:
    """`number` as people write it: whole numbers with all their digits, others with six significant ones."""
    if isinstance(number, int):
        return str(number)
    return f"{number:.0f}" if number.is_integer() and abs(number) < _ALL_DIGITS else f"{number:g}"


@dataclass(frozen=True, slots=True)
class Range:
    """The smallest and largest value allowed; with a `multiple` above 1, only multiples of it are."""

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
        text = f"{plain(self.minimum)} to {plain(self.maximum)}"
        return text if self.multiple == 1 else f"{text}, a multiple of {self.multiple}"


PROMPT_CHARACTERS = 16_384
MOST_CONTROLS = 5
MOST_HINTS = 16
"""Hints in one ExtractHints request."""
HINT_CHARACTERS = 1_000
"""Length of the text that a hint is made from (qrcode)."""
WEIGHT = Range(0, 20)
"""Conditioning scale of a control."""
FRACTION = Range(0, 1)
"""Share of the steps at which a control begins or ends."""
SIDE = Range(64, 2048, multiple=8)
"""Width and height of a picture, pixels, whatever the model; each family narrows it."""
ORIGINAL_SIDE = Range(0, 16_384)
"""Sides and edges of the picture that one is to look as if it was cut from (SDXL), pixels; 0: as it is."""
STEPS = Range(1, 150)
GUIDANCE = Range(1, 20)
"""Guidance scale; 1 means no guidance."""
TRUE_GUIDANCE = Range(1, 20)
"""Classifier-free guidance scale of models that also take a guidance scale as an input; 1 means no guidance."""
SEED = Range(0, 2**32 - 1)
SAMPLES = Range(1, 4)
CLIP_SKIP = Range(0, 8)

PROMPT_CHUNKS = 8
"""Most lengths of the text encoder that a prompt may take; the rest is dropped, with a note."""
STRENGTH = Range(0, 1)
"""How much of the initial picture is changed: the share of the steps that run."""
PREVIEW_EVERY = Range(0, 150)
"""Model calls between previews; 0 for no previews."""

DEFAULT_STEPS = 20
"""For models whose cards say nothing else."""
DEFAULT_GUIDANCE = 7.5
"""The default of diffusers' Stable Diffusion pipelines, for models whose cards say nothing else."""
DEFAULT_STRENGTH = 0.8
"""The default of diffusers' image-to-image pipelines."""
DEFAULT_REPAINTING = 1.0
"""The default of its pipelines for models that read a mask."""
DEFAULT_WEIGHT = 1.0
"""The scale at which a ControlNet is trained."""
DEFAULT_END = 1.0
"""A control acts until the last step."""
