"""Schemas of the native API's lists, for its documentation: models, controls, schedulers, styles, problems."""

from datetime import datetime

from pydantic import BaseModel, Field

from families.limits import DEFAULT_GUIDANCE, DEFAULT_STEPS


class SizeBody(BaseModel):
    """The size of a picture, pixels."""

    width: int
    height: int


class DefaultsBody(BaseModel):
    """Settings for requests that leave them to the model."""

    size: SizeBody | None = Field(None, description="Of a picture for which neither a size nor a picture was sent.")
    steps: int | None = Field(None, description=f"Denoising steps; absent: {DEFAULT_STEPS}.")
    guidance_scale: float | None = Field(None, description=f"Guidance; absent: {DEFAULT_GUIDANCE:g}.")
    scheduler: str = ""


class LimitsBody(BaseModel):
    """What a request for a model may ask."""

    least_side: int = Field(description="Smallest width and height, pixels.")
    most_side: int = Field(description="Largest width and height, pixels.")
    multiple: int = Field(description="Width and height must be multiples of this.")
    most_pixels: int = Field(description="Largest product of width and height.")
    most_controls: int = Field(description="Most controls at once.")
    reads_sizes: bool = Field(description="Whether it reads `original_width` and its like.")
    true_guidance: bool = Field(description="Whether it takes `true_guidance_scale`; only with it, a negative prompt.")
    reads_clip_skip: bool = Field(description="Whether it takes `clip_skip`.")
    needs_mask: bool = Field(description="Whether it only repaints: requests must have `image` and `mask`.")
    own_control: str = Field(
        description="Kind of the control that it reads without a ControlNet: requests must have exactly one, and its "
        "weight and window are not applied. Empty: none."
    )


class ModelBody(BaseModel):
    """A loaded model."""

    name: str
    family: str
    native_size: int
    controls: list[str]
    prediction_type: str
    default_scheduler: str
    latent_channels: int
    exported_at: datetime = Field(description="When it was exported.")
    defaults: DefaultsBody | None = Field(None, description="Settings for requests that leave them to the model.")
    trained_sizes: list[SizeBody] | None = Field(
        None, description="Sizes at which it was trained; requests far outside get a note."
    )
    limits: LimitsBody | None = Field(None, description="What a request for it may ask.")
    noise: str = Field(description="How its pictures become noise: diffusion, or flow.", examples=["diffusion"])


class ModelList(BaseModel):
    """The loaded models, and the default one for requests that name none."""

    models: list[ModelBody]
    default: str


class ParameterBody(BaseModel):
    """A parameter of an extractor."""

    name: str
    description: str
    minimum: float
    maximum: float
    default_value: float


class ExtractorBody(BaseModel):
    """An extractor, which makes a kind's hint."""

    name: str = Field(description="Its name, for `extractor` of a control or a hint.", examples=["canny"])
    description: str
    available: bool = Field(description="Algorithms are always available; models are when their annotator is loaded.")
    how_to_get: str = Field(
        description="What to do if it is not available; empty if it is.",
        examples=["no annotator for body is loaded; export one: python -m export annotator openpose SOURCE"],
    )
    stand_in: bool = Field(description="A crude stand-in, used only if a request names it.")
    reads_text: bool = Field(description="Makes the hint from `text` instead of a picture.")
    annotator: str = Field(description="Its loaded model; empty for algorithms.", examples=["demo"])
    annotator_description: str = Field(description="What that model is, and which pictures it was trained on.")
    parameters: list[ParameterBody]
    source: str = Field(description="Paper, program or library that it implements.")


class ControlNetsBody(BaseModel):
    """ControlNets of a model family that accept a kind's hint."""

    family: str = Field(examples=["sd15"])
    ids: list[str] = Field(description="Hub ids.", examples=[["lllyasviel/control_v11p_sd15_canny"]])


class ControlKindBody(BaseModel):
    """A control kind."""

    kind: str
    description: str = Field(description="What its hint looks like.")
    extractable: bool = Field(description="Whether its hint can be extracted from an ordinary picture here.")
    parameters: list[ParameterBody] = Field(description="Parameters of the default extractor.")
    models: list[str] = Field(description="Loaded models that have a ControlNet of this kind.")
    reads_mask: bool
    extractors: list[ExtractorBody] = Field(description="Its extractors, the preferred first.")
    controlnets: list[ControlNetsBody]


class ControlList(BaseModel):
    """The control kinds."""

    controls: list[ControlKindBody]


class SchedulerBody(BaseModel):
    """A scheduler."""

    name: str
    description: str
    stochastic: bool = Field(description="Adds noise during the loop.")
    karras_sigmas: bool = Field(description="Supports use_karras_sigmas.")
    algorithm_types: list[str] = Field(description="Supported values of algorithm_type, the default first.")
    model_calls: str = Field(description="Model calls for n steps.")
    inverts: bool = Field(description="Inverts: needs `image`, and returns the noise that leads to it.")
    flow_only: bool = Field(description="Only for models whose `noise` is flow.")
    on_flow: str = Field(
        description="Scheduler that walks a flow in its place: itself, another one, or empty if none does and models"
        " whose `noise` is flow refuse it."
    )


class SchedulerList(BaseModel):
    """The schedulers."""

    schedulers: list[SchedulerBody]


class StyleBody(BaseModel):
    """A style: words added to a prompt."""

    name: str
    prompt: str = Field(description="Template; {prompt} stands for the request's prompt.")
    negative_prompt: str = Field(description="Words appended to the negative prompt.")


class StyleList(BaseModel):
    """The styles."""

    styles: list[StyleBody]


class ProblemKindBody(BaseModel):
    """A kind of error."""

    type: str = Field(description="The value of `type` in errors, relative to this server.")
    title: str
    status: int
    meaning: str = Field(description="What to do about it.")


class ProblemKindList(BaseModel):
    """Every kind of error."""

    problems: list[ProblemKindBody]
