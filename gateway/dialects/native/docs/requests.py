"""How the native API's requests look in its documentation. Limits are those of families.limits, defaults those of
gateway.generation.generation."""

from dataclasses import fields
from typing import Any

from pydantic import BaseModel, Field

from families import limits
from gateway.generation.generation import FORMATS, Control, Generation
from gateway.generation.hints import HintRequest
from gateway.jobs.bounds import DEADLINE_S, PRIORITY
from gateway.jobs.job import DEFAULT_PRIORITY
from gateway.webhooks.announcement import EVENTS
from gateway.webhooks.endpoints import LONGEST_DESCRIPTION, MOST_EVENTS

_DEFAULTS: dict[str, Any] = {
    field.name: field.default for cls in (HintRequest, Generation, Control) for field in fields(cls)
}
_FORMATS = tuple(FORMATS)

EXPIRES_S = limits.Range(60, 365 * 86_400)


def _number(name: str, allowed: limits.Range, description: str) -> Any:
    return Field(
        default=_DEFAULTS[name],
        ge=allowed.minimum,
        le=allowed.maximum,
        multiple_of=allowed.multiple if allowed.multiple > 1 else None,
        description=description,
    )


_PICTURE = "PNG, JPEG or WebP as base64, data URL, http(s) URL or `asset:ID` of a file kept here; at most 16 MiB."
_SIDE = "Pixels; left out: as `image`, else as the first control's picture."
_HINT_SIDE = "Pixels; with the other side, or left out with it."
_EXTRACTOR = (
    "Which of the kind's extractors makes the hint; GET /controlmesh/v1/controls lists them. Left out: the first that "
    "is available and no stand-in."
)
_TEXT = Field(
    None,
    min_length=1,
    max_length=limits.HINT_CHARACTERS,
    description="Words to make the hint from in place of a picture, for kinds with an extractor that reads text.",
    examples=["https://example.org"],
)


def _extractor() -> Any:
    return Field(_DEFAULTS["extractor"], description=_EXTRACTOR, examples=["canny"])


class ControlBody(BaseModel):
    """One picture that steers the generation."""

    kind: str = Field(description="Control kind; GET /controlmesh/v1/controls lists them.", examples=["canny"])
    image: str | None = Field(None, description=f"{_PICTURE} Left out: the request's `image`, or none beside `text`.")
    auto_hint: bool = Field(_DEFAULTS["auto_hint"], description="Extract the hint; false: the image is the hint.")
    weight: float = _number("weight", limits.WEIGHT, "Conditioning scale; 1 is the trained strength.")
    start: float = _number("start", limits.FRACTION, "Fraction of the steps at which the control begins.")
    end: float = _number("end", limits.FRACTION, "Fraction of the steps at which the control ends.")
    parameters: dict[str, float] = Field(default={}, description="Of the extractor, by name.")
    mask: str | None = Field(
        None,
        description="A picture, as `image`, whose white marks what to repaint; only for kinds that read a mask. "
        "Left out: the request's `mask`.",
    )
    extractor: str | None = _extractor()
    text: str | None = _TEXT


class GenerationBody(BaseModel):
    """What to make. Unknown fields are refused."""

    model: str | None = Field(None, description="Name of a loaded model; left out: the default one.")
    prompt: str | None = Field(
        None,
        max_length=limits.PROMPT_CHARACTERS,
        description="What the picture should show; required but in guess mode. (words), (words:1.3) and [words] weigh.",
    )
    negative_prompt: str = Field(_DEFAULTS["negative_prompt"], max_length=limits.PROMPT_CHARACTERS)
    controls: list[ControlBody] = Field(default=[], max_length=limits.MOST_CONTROLS)
    width: int | None = _number("width", limits.SIDE, _SIDE)
    height: int | None = _number("height", limits.SIDE, _SIDE)
    steps: int = _number("steps", limits.STEPS, "Denoising steps.")
    guidance_scale: float = _number("guidance_scale", limits.GUIDANCE, "Classifier-free guidance; 1 is none.")
    scheduler: str | None = Field(None, description="Name of a scheduler; left out: the model's own.")
    seed: int | None = _number("seed", limits.SEED, "Of the first picture; left out: random, and reported.")
    samples: int = _number("samples", limits.SAMPLES, "Number of pictures; their seeds count up.")
    format: str = Field(_DEFAULTS["format"], json_schema_extra={"enum": list(_FORMATS)})
    clip_skip: int = _number("clip_skip", limits.CLIP_SKIP, "Last layers of the text encoder to skip.")
    image: str | None = Field(None, description=f"The picture to start from: {_PICTURE}")
    mask: str | None = Field(
        None, description="A picture, as `image`, whose white marks what to repaint of `image`; left out: all of it."
    )
    strength: float | None = _number(
        "strength", limits.STRENGTH, f"How much of `image` to change; left out: {limits.DEFAULT_STRENGTH:g}."
    )
    guess_mode: bool = Field(_DEFAULTS["guess_mode"], description="The controls lead, the prompt may be left out.")
    use_karras_sigmas: bool | None = Field(
        None, description="Space the noise levels as Karras et al. (2022); left out: as the model's configuration says."
    )
    algorithm_type: str | None = Field(
        None,
        description="Variant of the solver; GET /controlmesh/v1/schedulers lists them; left out: the scheduler's own.",
        examples=["sde-dpmsolver++"],
    )
    prompt_weighting: bool = Field(
        _DEFAULTS["prompt_weighting"], description="Read weights and long prompts; false: the words as they stand."
    )
    enhance_prompt: bool = Field(_DEFAULTS["enhance_prompt"], description="Append words of quality to the prompt.")
    enhance_style: str | None = Field(
        None, description="Style whose words are put around the prompts; GET /controlmesh/v1/styles lists them."
    )
    preview_every: int = _number(
        "preview_every", limits.PREVIEW_EVERY, "Model calls from one preview among the events to the next; 0: none."
    )
    keep_unmasked: bool = Field(
        _DEFAULTS["keep_unmasked"],
        description="Leave what `mask` keeps as it is in `image`, to the pixel; false: as the VAE gives it back.",
    )
    priority: int = Field(
        DEFAULT_PRIORITY,
        ge=PRIORITY.minimum,
        le=PRIORITY.maximum,
        description="Among your own generations that wait; 9 goes first.",
    )
    deadline_s: float | None = Field(
        None,
        ge=DEADLINE_S.minimum,
        le=DEADLINE_S.maximum,
        description="Seconds from now after which the pictures are of no use; left out: the deployment's own limit.",
    )
    webhook: str | None = Field(
        None,
        description="http(s) URL that is told when it has ended. With it a generation waits its turn in the queue.",
        examples=["https://example.org/hook"],
    )


class HintBody(BaseModel):
    """One hint to make. Unknown fields are refused."""

    kind: str = Field(description="Control kind; GET /controlmesh/v1/controls lists them.", examples=["canny"])
    image: str | None = Field(None, description=f"{_PICTURE} Required but beside `text`.")
    mask: str | None = Field(
        None, description="A picture, as `image`, whose white marks what to repaint; only for kinds that read a mask."
    )
    extractor: str | None = _extractor()
    text: str | None = _TEXT
    auto_hint: bool = Field(_DEFAULTS["auto_hint"], description="Extract; false: fit `image`, the ready hint.")
    parameters: dict[str, float] = Field(default={}, description="Of the extractor, by name.")
    width: int | None = _number("width", limits.SIDE, _HINT_SIDE)
    height: int | None = _number("height", limits.SIDE, _HINT_SIDE)
    short_side: int | None = _number(
        "short_side", limits.SIDE, "Pixels of the shorter side where no size is given; left out: 512."
    )


class HintBatchBody(BaseModel):
    """Several hints to make side by side."""

    hints: list[HintBody] = Field(min_length=1, max_length=limits.MOST_HINTS)


_TOLD = Field(
    ["*"],
    min_length=1,
    max_length=MOST_EVENTS,
    description="What it hears of; `*` for everything.",
    json_schema_extra={"items": {"type": "string", "enum": ["*", *EVENTS.values()]}},
    examples=[["generation.completed", "generation.failed"]],
)
_URL = "http(s) URL of a public host, which is told of all your generations."
_DESCRIPTION = Field("", max_length=LONGEST_DESCRIPTION, description="For people to read.")


class WebhookEndpointBody(BaseModel):
    """A URL to be told of everything. Unknown fields are refused."""

    url: str = Field(description=_URL, examples=["https://example.org/hook"])
    events: list[str] = _TOLD
    description: str = _DESCRIPTION


class WebhookEndpointChange(BaseModel):
    """What to change of a webhook endpoint; what is left out stays. Unknown fields are refused."""

    url: str | None = Field(None, description=_URL)
    events: list[str] | None = Field(
        None, min_length=1, max_length=MOST_EVENTS, description="In the names of the API that it was set up through."
    )
    description: str | None = Field(None, max_length=LONGEST_DESCRIPTION)
    enabled: bool | None = Field(None, description="Whether anything is sent there.")


class AssetBody(BaseModel):
    """A picture to keep. Unknown fields are refused."""

    image: str = Field(description=_PICTURE)
    name: str = Field("", max_length=limits.PROMPT_CHARACTERS, description="For people to read.", examples=["cat.png"])
    expires_s: float | None = Field(
        None,
        ge=EXPIRES_S.minimum,
        le=EXPIRES_S.maximum,
        description="Seconds after which it is removed; left out: kept until it is deleted.",
    )
