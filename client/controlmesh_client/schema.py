"""What the native API answers. Written by client/generate.py from its OpenAPI description."""

from typing import Literal, NotRequired, TypedDict


class ProgressBody(TypedDict):
    """Model calls done and in total, over all pictures."""

    step: int
    steps: int


class ImageBody(TypedDict):
    """A finished picture."""

    url: str
    seed: int
    width: int
    height: int


class ProblemBody(TypedDict):
    """An error as RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    field: NotRequired[str | None]
    retry_after: NotRequired[float | None]


class DeliveryBody(TypedDict):
    """A webhook message to a URL."""

    id: str
    url: str
    event: str
    status: Literal["pending", "delivered", "dead"]
    attempts: int
    last_answer: str | None
    next_at: str | None
    created_at: str
    done_at: str | None


class ControlSettings(TypedDict):
    """A control as it was applied, without its pictures."""

    kind: str
    auto_hint: bool
    weight: float
    start: float
    end: float
    parameters: dict[str, float]
    extractor: str | None
    text: str | None


class GenerationSettings(TypedDict):
    """The request's settings: sent again with the same input pictures, they make the same pictures."""

    prompt: str
    model: str
    negative_prompt: str
    controls: list[ControlSettings]
    width: int | None
    height: int | None
    steps: int | None
    guidance_scale: float | None
    true_guidance_scale: float | None
    scheduler: str
    seed: int
    samples: int
    format: str
    clip_skip: int
    strength: float | None
    guess_mode: bool
    use_karras_sigmas: bool | None
    algorithm_type: str | None
    prompt_weighting: bool
    enhance_prompt: bool
    enhance_style: str | None
    preview_every: int
    keep_unmasked: bool
    original_width: int | None
    original_height: int | None
    crop_left: int | None
    crop_top: int | None


class GenerationRecord(TypedDict):
    """The record of a generation."""

    id: str
    dialect: str
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    priority: int
    attempts: int
    progress: ProgressBody
    images: list[ImageBody]
    notes: list[str]
    effective_prompt: str | None
    effective_negative_prompt: str | None
    error: ProblemBody | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    webhook: str | None
    deliveries: list[DeliveryBody] | None
    request: GenerationSettings


class GenerationList(TypedDict):
    """A page of generations, newest first."""

    generations: list[GenerationRecord]
    next: str | None


class SizeBody(TypedDict):
    """The size of a picture, pixels."""

    width: int
    height: int


class DefaultsBody(TypedDict):
    """Settings for requests that leave them to the model."""

    size: NotRequired[SizeBody | None]
    steps: NotRequired[int | None]
    guidance_scale: NotRequired[float | None]
    scheduler: NotRequired[str]


class LimitsBody(TypedDict):
    """What a request for a model may ask."""

    least_side: int
    most_side: int
    multiple: int
    most_pixels: int
    most_controls: int
    reads_sizes: bool
    true_guidance: bool
    reads_clip_skip: bool
    needs_mask: bool
    own_control: str


class ModelBody(TypedDict):
    """A loaded model."""

    name: str
    family: str
    native_size: int
    controls: list[str]
    prediction_type: str
    default_scheduler: str
    latent_channels: int
    exported_at: str
    defaults: NotRequired[DefaultsBody | None]
    trained_sizes: NotRequired[list[SizeBody] | None]
    limits: NotRequired[LimitsBody | None]
    noise: str


class ModelList(TypedDict):
    """The loaded models, and the default one for requests that name none."""

    models: list[ModelBody]
    default: str


class ParameterBody(TypedDict):
    """A parameter of an extractor."""

    name: str
    description: str
    minimum: float
    maximum: float
    default_value: float


class ExtractorBody(TypedDict):
    """An extractor, which makes a kind's hint."""

    name: str
    description: str
    available: bool
    how_to_get: str
    stand_in: bool
    reads_text: bool
    annotator: str
    annotator_description: str
    parameters: list[ParameterBody]
    source: str


class ControlNetsBody(TypedDict):
    """ControlNets of a model family that accept a kind's hint."""

    family: str
    ids: list[str]


class ControlKindBody(TypedDict):
    """A control kind."""

    kind: str
    description: str
    extractable: bool
    parameters: list[ParameterBody]
    models: list[str]
    reads_mask: bool
    extractors: list[ExtractorBody]
    controlnets: list[ControlNetsBody]


class ControlList(TypedDict):
    """The control kinds."""

    controls: list[ControlKindBody]


class SchedulerBody(TypedDict):
    """A scheduler."""

    name: str
    description: str
    stochastic: bool
    karras_sigmas: bool
    algorithm_types: list[str]
    model_calls: str
    inverts: bool
    flow_only: bool
    on_flow: str


class SchedulerList(TypedDict):
    """The schedulers."""

    schedulers: list[SchedulerBody]


class StyleBody(TypedDict):
    """A style: words added to a prompt."""

    name: str
    prompt: str
    negative_prompt: str


class StyleList(TypedDict):
    """The styles."""

    styles: list[StyleBody]


class AssetRecordBody(TypedDict):
    """The record of a file."""

    id: str
    url: str
    name: str
    media_type: str
    width: int
    height: int
    size: int
    sha256: str
    source: str
    generation: str | None
    created_at: str
    expires_at: str | None


class AssetList(TypedDict):
    """A page of files, newest first."""

    assets: list[AssetRecordBody]
    next: str | None


class HintAnswer(TypedDict):
    """One finished hint."""

    image: str
    width: int
    height: int
    kind: str
    extractor: str | None
    annotator: str | None
    notes: list[str]
    service_ms: float
    duration_ms: float
