"""What a model is made for: the settings that suit it, its sizes, and whether a request is far outside."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from families.limits import GUIDANCE, SIDE, STEPS

Size = tuple[int, int]
"""Width and height of a picture, pixels."""

FAR = 2.0
"""How many times as long as trained a side may not be, or how many times as high as its default the guidance."""


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """Settings for requests that leave them to the model; None: the mesh's own.

    Raises ValueError for one out of range.
    """

    size: Size | None = None
    """Of a picture for which neither a size nor a picture was sent; its shorter side is that of sizes which follow a
    picture's proportions. None: the model's native size."""
    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    """Name of a scheduler (`unet_svc.schedulers`). None: that of the model's own scheduler_config.json."""

    def __post_init__(self) -> None:
        for name, values, allowed in (
            ("size", self.size or (), SIDE),
            ("steps", () if self.steps is None else (self.steps,), STEPS),
            ("guidance_scale", () if self.guidance_scale is None else (self.guidance_scale,), GUIDANCE),
        ):
            for value in values:
                if not allowed.holds(value):
                    raise ValueError(f"defaults: {name} must be {allowed}, not {value:g}")


def check_sizes(sizes: Sequence[Size]) -> None:
    """Raise ValueError if one of the `trained_sizes` of a card is no size of a picture."""
    for side in (side for size in sizes for side in size):
        if not SIDE.holds(side):
            raise ValueError(f"trained_sizes: each side must be {SIDE}, not {side}")


def far_outside(
    model: str, sizes: Sequence[Size], defaults: Defaults, size: Size, guidance_scale: float
) -> tuple[str, ...]:
    """Notes for a request that is far outside what a model was trained for; none if it is not.

    Args:
        model: its name.
        sizes: at which it was trained.
        defaults: its own.
        size: of the requested picture.
        guidance_scale: of the request.
    """
    notes = []
    if sizes and all(_is_far(size, trained) for trained in sizes):
        known = ", ".join(f"{width} x {height}" for width, height in sizes)
        notes.append(
            f"model {model} was trained at {known} pixels; {size[0]} x {size[1]} is far outside, and the picture may "
            "show many small things or nothing of the prompt"
        )
    if defaults.guidance_scale is not None and guidance_scale > FAR * defaults.guidance_scale:
        notes.append(
            f"model {model} is made for a guidance scale of about {defaults.guidance_scale:g}; {guidance_scale:g} is "
            "far outside, and colours may burn out"
        )
    return tuple(notes)


def _is_far(size: Size, trained: Size) -> bool:
    """Whether a side of `size` is FAR times as long as trained, or shorter than a FARth of it."""
    ratios = [side / other for side, other in zip(size, trained, strict=True)]
    return max(ratios) >= FAR or min(ratios) < 1 / FAR
