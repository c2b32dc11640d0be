"""FLUX.1 (Black Forest Labs 2024): a rectified flow in a transformer over patches, with text of T5 and CLIP."""

from families.family import Family
from families.limits import MOST_CONTROLS, Range

FLUX = Family(
    name="flux",
    title="FLUX.1",
    side=Range(64, 2048, multiple=16),
    most_pixels=1536 * 1536,
    steps=28,
    guidance=3.5,
    most_controls=MOST_CONTROLS,
    skips="none",
    chunked=False,
    noise="flow",
    hint="latents",
    control_rows="positive",
    true_guidance=True,
)
