"""How the lists of the native API look in its documentation: models, controls, schedulers, styles."""

from datetime import datetime

from pydantic import BaseModel, Field


class ModelBody(BaseModel):
    """One loaded model."""

    name: str
    family: str
    native_size: int
    controls: list[str]
    prediction_type: str
    default_scheduler: str
    latent_channels: int
    exported_at: datetime = Field(description="When it was exported.")


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


class ExtractorBody(BaseModel):
    """One way to make a kind's hint."""

    name: str = Field(description="As in `extractor` of a control or a hint.", examples=["canny"])
    description: str
    available: bool = Field(description="Algorithms always are, models when an annotator for them is loaded.")
    how_to_get: str = Field(
        description="What to do where it is not available; empty where it is.",
        examples=["no annotator for body is loaded; export one: python -m export annotator openpose SOURCE"],
    )
    stand_in: bool = Field(description="A crude substitute, used only when a request names it.")
    reads_text: bool = Field(description="Makes the hint from `text` in place of a picture.")
    annotator: str = Field(description="The loaded model that serves it; empty for algorithms.", examples=["demo"])
    annotator_description: str = Field(description="What that model is and which pictures it knows.")
    parameters: list[ParameterBody]
    source: str = Field(description="Paper, program or library that it follows.")


class ControlNetsBody(BaseModel):
    """ControlNets of one family of models that take a kind's hint."""

    family: str = Field(examples=["sd15"])
    ids: list[str] = Field(description="Hub ids.", examples=[["lllyasviel/control_v11p_sd15_canny"]])


class ControlKindBody(BaseModel):
    """One control kind."""

    kind: str
    description: str = Field(description="What its hint looks like.")
    extractable: bool = Field(description="Whether a hint can be made of an ordinary picture here.")
    parameters: list[ParameterBody] = Field(description="Of the extractor that is taken when a request names none.")
    models: list[str] = Field(description="Loaded models that have a ControlNet of this kind.")
    reads_mask: bool
    extractors: list[ExtractorBody] = Field(description="The ways to make its hint, the preferred first.")
    controlnets: list[ControlNetsBody]


class ControlList(BaseModel):
    """The control kinds."""

    controls: list[ControlKindBody]


class SchedulerBody(BaseModel):
    """One scheduler."""

    name: str
    description: str
    stochastic: bool = Field(description="Adds noise during the loop.")
    karras_sigmas: bool = Field(description="Takes use_karras_sigmas.")
    algorithm_types: list[str] = Field(description="Values of algorithm_type that it takes, its own first.")
    model_calls: str = Field(description="Model calls for n steps.")
    inverts: bool = Field(description="Needs `image`, and returns the noise that leads to it.")


class SchedulerList(BaseModel):
    """The schedulers."""

    schedulers: list[SchedulerBody]


class StyleBody(BaseModel):
    """Words put around a prompt."""

    name: str
    prompt: str = Field(description="Pattern; {prompt} stands for the caller's.")
    negative_prompt: str = Field(description="Words appended to the negative prompt.")


class StyleList(BaseModel):
    """The styles."""

    styles: list[StyleBody]


class ProblemKindBody(BaseModel):
    """One kind of error."""

    type: str = Field(description="As in `type` of an error, relative to this server.")
    title: str
    status: int
    meaning: str = Field(description="What to do about it.")


class ProblemKindList(BaseModel):
    """Every kind of error that is answered."""

    problems: list[ProblemKindBody]
