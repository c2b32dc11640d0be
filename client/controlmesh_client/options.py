"""Options of the native API's requests. Written by client/generate.py from its OpenAPI description."""

from typing import Literal, NotRequired, TypedDict


class GenerationOptions(TypedDict):
    """A request for pictures. Unknown fields are refused."""

    model: NotRequired[str | None]
    negative_prompt: NotRequired[str]
    width: NotRequired[int | None]
    height: NotRequired[int | None]
    steps: NotRequired[int | None]
    guidance_scale: NotRequired[float | None]
    true_guidance_scale: NotRequired[float | None]
    scheduler: NotRequired[str | None]
    seed: NotRequired[int | None]
    samples: NotRequired[int]
    format: NotRequired[Literal["png", "jpeg", "webp"]]
    clip_skip: NotRequired[int]
    strength: NotRequired[float | None]
    guess_mode: NotRequired[bool]
    use_karras_sigmas: NotRequired[bool | None]
    algorithm_type: NotRequired[str | None]
    prompt_weighting: NotRequired[bool]
    enhance_prompt: NotRequired[bool]
    enhance_style: NotRequired[str | None]
    preview_every: NotRequired[int]
    keep_unmasked: NotRequired[bool]
    original_width: NotRequired[int | None]
    original_height: NotRequired[int | None]
    crop_left: NotRequired[int | None]
    crop_top: NotRequired[int | None]
    priority: NotRequired[int]
    deadline_s: NotRequired[float | None]
    webhook: NotRequired[str | None]


class ControlOptions(TypedDict):
    """A control, which steers the generation."""

    auto_hint: NotRequired[bool]
    weight: NotRequired[float]
    start: NotRequired[float]
    end: NotRequired[float]
    parameters: NotRequired[dict[str, float]]
    extractor: NotRequired[str | None]
    text: NotRequired[str | None]


class HintOptions(TypedDict):
    """A request for a hint. Unknown fields are refused."""

    auto_hint: NotRequired[bool]
    parameters: NotRequired[dict[str, float]]
    extractor: NotRequired[str | None]
    text: NotRequired[str | None]
    width: NotRequired[int | None]
    height: NotRequired[int | None]
    short_side: NotRequired[int | None]
