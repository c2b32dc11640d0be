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
    skips: Literal["both", "positive", "none"] = "both"
    """Which prompts may leave out layers of the text encoder: in diffusers' SDXL pipelines the positive one alone."""
    chunked: bool = True
    """Whether a long prompt is read in several chunks of the text encoder's length."""
    noise: Literal["diffusion", "flow"] = "diffusion"
    """How pictures become noise: `diffusion` by betas, `flow` along a straight line (Liu et al. 2022)."""
    hint: Literal["pixels", "latents"] = "pixels"
    """What ControlNets read: the hint itself, or what the VAE makes of it."""
    control_rows: Literal["all", "positive"] = "all"
    """Whether a ControlNet runs for each text row, or once a request, for all of them."""
    true_guidance: bool = False
    """Whether a negative row comes with true_guidance_scale, as guidance_scale is an input of the model or nothing."""

    def check_size(self, width: int, height: int) -> tuple[str, str] | None:
        """(field, what is wrong) with the size of a picture in pixels; None if it is one that the family makes."""
        for field, side in (("width", width), ("height", height)):
            if not self.side.holds(side):
                return field, f"{field} must be {self.side}, not {side}"
        if width * height > self.most_pixels:
            return "width", f"width times height must be at most {self.most_pixels}, not {width * height}"
        return None
