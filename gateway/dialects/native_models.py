"""How the native API looks in its documentation. Limits are those of families.limits, defaults those of
gateway.generation."""

from dataclasses import fields
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import Response

from families import limits
from gateway.generation import FORMATS, Control, Generation
from gateway.jobs import Status

_DEFAULTS: dict[str, Any] = {field.name: field.default for cls in (Generation, Control) for field in fields(cls)}
_FORMATS = tuple(FORMATS)


def _number(name: str, allowed: limits.Range, description: str) -> Any:
    return Field(
        default=_DEFAULTS[name],
        ge=allowed.minimum,
        le=allowed.maximum,
        multiple_of=allowed.multiple if allowed.multiple > 1 else None,
        description=description,
    )


class ControlBody(BaseModel):
    """One picture that steers the generation."""

    kind: str = Field(description="Control kind; GET /controlmesh/v1/controls lists them.", examples=["canny"])
    image: str = Field(description="PNG, JPEG or WebP as base64, data URL or http(s) URL; at most 16 MiB.")
    auto_hint: bool = Field(_DEFAULTS["auto_hint"], description="Extract the hint; false: the image is the hint.")
    weight: float = _number("weight", limits.WEIGHT, "Conditioning scale; 1 is the trained strength.")
    start: float = _number("start", limits.FRACTION, "Fraction of the steps at which the control begins.")
    end: float = _number("end", limits.FRACTION, "Fraction of the steps at which the control ends.")
    parameters: dict[str, float] = Field(default={}, description="Of the extractor, by name.")


class GenerationBody(BaseModel):
    """What to make. Unknown fields are refused."""

    model: str | None = Field(None, description="Name of a loaded model; left out: the default one.")
    prompt: str = Field(max_length=limits.PROMPT_CHARACTERS, description="What the picture should show.")
    negative_prompt: str = Field(_DEFAULTS["negative_prompt"], max_length=limits.PROMPT_CHARACTERS)
    controls: list[ControlBody] = Field(default=[], max_length=limits.MOST_CONTROLS)
    width: int | None = _number("width", limits.SIDE, "Pixels; left out: as the first control's picture.")
    height: int | None = _number("height", limits.SIDE, "Pixels; left out: as the first control's picture.")
    steps: int = _number("steps", limits.STEPS, "Denoising steps.")
    guidance_scale: float = _number("guidance_scale", limits.GUIDANCE, "Classifier-free guidance; 1 is none.")
    scheduler: str | None = Field(None, description="Name of a scheduler; left out: the model's own.")
    seed: int | None = _number("seed", limits.SEED, "Of the first picture; left out: random, and reported.")
    samples: int = _number("samples", limits.SAMPLES, "Number of pictures; their seeds count up.")
    format: str = Field(_DEFAULTS["format"], json_schema_extra={"enum": list(_FORMATS)})
    clip_skip: int = _number("clip_skip", limits.CLIP_SKIP, "Last layers of the text encoder to skip.")


class ProgressBody(BaseModel):
    """Model calls done and in all, over all pictures."""

    step: int
    steps: int


class ImageBody(BaseModel):
    """One finished picture."""

    url: str
    seed: int = Field(description="Makes exactly this picture.")
    width: int
    height: int


class ProblemBody(BaseModel):
    """An error as RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = Field(description="What was wrong and what to change.")
    field: str | None = Field(None, description="The field at fault.")
    retry_after: float | None = Field(None, description="Seconds after which the same request may succeed.")


class ControlSettings(BaseModel):
    """A control as it was applied, without its picture."""

    kind: str
    auto_hint: bool
    weight: float
    start: float
    end: float
    parameters: dict[str, float]


class GenerationSettings(BaseModel):
    """What makes the same pictures again."""

    model: str
    prompt: str
    negative_prompt: str
    controls: list[ControlSettings]
    width: int | None
    height: int | None
    steps: int
    guidance_scale: float
    scheduler: str
    seed: int
    samples: int
    format: str
    clip_skip: int


class GenerationRecord(BaseModel):
    """A generation at one moment."""

    id: str
    status: Literal[tuple(Status)]  # type: ignore[valid-type]
    progress: ProgressBody
    images: list[ImageBody]
    notes: list[str] = Field(description="Remarks, such as a truncated prompt.")
    error: ProblemBody | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    request: GenerationSettings


class ModelBody(BaseModel):
    """One loaded model."""

    name: str
    family: str
    native_size: int
    controls: list[str]
    prediction_type: str
    default_scheduler: str
    latent_channels: int


class ModelList(BaseModel):
    """The loaded models and the one that is taken when a request names none."""

    models: list[ModelBody]
    default: str


class ParameterBody(BaseModel):
    """One number that tunes an extractor."""

    name: str
    description: str
    minimum: float
    maximum: float
    default_value: float


class ControlKindBody(BaseModel):
    """One control kind."""

    kind: str
    description: str
    extractable: bool
    parameters: list[ParameterBody]
    models: list[str]


class ControlList(BaseModel):
    """The control kinds."""

    controls: list[ControlKindBody]


class SchedulerBody(BaseModel):
    """One scheduler."""

    name: str
    description: str
    stochastic: bool


class SchedulerList(BaseModel):
    """The schedulers."""

    schedulers: list[SchedulerBody]


_EXAMPLE = {
    "prompt": "a red circle on a white background",
    "controls": [{"kind": "canny", "image": "data:image/png;base64,iVBORw0KGgo..."}],
    "steps": 20,
    "guidance_scale": 3.0,
    "seed": 7,
}

GENERATION_REQUEST: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/GenerationBody"},
            "examples": {"controlled": {"summary": "One picture that follows the edges of another", "value": _EXAMPLE}},
        }
    },
}


def documented(
    body: dict[str, Any] | None = None,
    *parameters: dict[str, Any],
    answer: type[BaseModel] = GenerationRecord,
    events: bool = False,
) -> dict[str, Any]:
    """Options of a route that make its documentation; the handler reads and checks the request itself."""
    schema = {"$ref": f"#/components/schemas/{ProblemBody.__name__}"}
    problems = {"content": {"application/problem+json": {"schema": schema}}, "description": "What to change."}
    done: dict[str, Any] = {"model": answer, "description": "Done."}
    if events:
        done = {"content": {"text/event-stream": {}}, "description": "Events progress, result, error."}
    responses: dict[int | str, dict[str, Any]] = {200: done, "4XX": problems, "5XX": problems}
    if body:
        responses[202] = {"model": answer, "description": "Not done within `wait`; ask again under Location."}
    extra = {"requestBody": body} if body else {}
    return {
        "responses": responses,
        # No class of response of FastAPI's own, whose media type would be shown beside the real one.
        "response_class": Response,
        "openapi_extra": {**extra, "parameters": list(parameters)} if parameters else extra,
    }
