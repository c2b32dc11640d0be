"""Stable Diffusion XL and its children (Podell et al. 2023): two text encoders, and sizes as an input."""

from families.family import Family
from families.limits import MOST_CONTROLS, Range

SDXL = Family(
    name="sdxl",
    title="Stable Diffusion XL",
    side=Range(64, 2048, multiple=8),
    most_pixels=1536 * 1536,
    steps=30,
    guidance=5.0,
    most_controls=MOST_CONTROLS,
    skips="positive",
)
