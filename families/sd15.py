"""Stable Diffusion 1.5 and what is shaped like it (Rombach et al. 2022; ControlNet: Zhang et al. 2023)."""

from families.family import Family
from families.limits import DEFAULT_GUIDANCE, DEFAULT_STEPS, MOST_CONTROLS, Range

SD15 = Family(
    name="sd15",
    title="Stable Diffusion 1.5",
    side=Range(64, 1024, multiple=8),
    most_pixels=1024 * 1024,
    steps=DEFAULT_STEPS,
    guidance=DEFAULT_GUIDANCE,
    most_controls=MOST_CONTROLS,
)
