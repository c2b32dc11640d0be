"""How the native API's answers look in its documentation."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from gateway.dialects.native.docs.models import record_model
from gateway.generation.generation import Control, Generation
from gateway.jobs.job import Status
from gateway.webhooks.records import DeliveryStatus


class HintAnswer(BaseModel):
    """One finished hint."""

    image: str = Field(description="PNG as a data URL; what a mask marks is black in it.")
    width: int
    height: int
    kind: str
    extractor: str | None = Field(description="Which of the kind's extractors made it; null for a ready hint.")
    annotator: str | None = Field(
        description="Name of the model that found it, such as demo; null for algorithms, words and ready hints."
    )
    notes: list[str] = Field(
        description="Remarks, such as that a stand-in made it or that a ready hint was inverted.",
        examples=[["the drawing was dark on light; it was inverted"]],
    )
    service_ms: float = Field(description="Milliseconds of work, from reading the picture to having the hint.")
    duration_ms: float = Field(description="Milliseconds from asking for it to having it, waiting included.")


class HintBatchAnswer(BaseModel):
    """Several finished hints, in the order of the request."""

    hints: list[HintAnswer]
    duration_ms: float = Field(description="Milliseconds from reading the request to having all of them.")


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

    type: str = Field(
        description="What kind of error; GET /controlmesh/v1/problems lists them.",
        examples=["/controlmesh/v1/problems/invalid"],
    )
    title: str
    status: int
    detail: str = Field(description="What was wrong and what to change.")
    field: str | None = Field(None, description="The field at fault.")
    retry_after: float | None = Field(None, description="Seconds after which the same request may succeed.")


class ControlSettings(record_model("ControlRecord", Control)):  # type: ignore[misc]
    """A control as it was applied, without its pictures."""


class GenerationSettings(record_model("GenerationFields", Generation, {Control: ControlSettings})):  # type: ignore[misc]
    """What makes the same pictures again when it is sent with the pictures that were sent."""

    # Whatever was left out of the request, these are known by now.
    model: str = Field(description="Name of the model.")
    scheduler: str = Field(description="Name of the scheduler.")
    seed: int = Field(description="Of the first picture.")


class DeliveryBody(BaseModel):
    """One webhook on its way to one URL."""

    id: str = Field(description="The webhook-id header, the same in every attempt.")
    url: str
    event: str = Field(examples=["generation.completed"])
    status: Literal[tuple(DeliveryStatus)]  # type: ignore[valid-type]
    attempts: int
    last_answer: str | None = Field(description="Status of the last attempt, or what happened instead.")
    next_at: datetime | None = Field(description="When it is tried next; null when it is over.")
    created_at: datetime
    done_at: datetime | None


class GenerationRecord(BaseModel):
    """A generation at one moment."""

    id: str
    dialect: str = Field(description="Which API it was asked for through.", examples=["native"])
    status: Literal[tuple(Status)]  # type: ignore[valid-type]
    priority: int
    attempts: int = Field(description="How often it was begun; more than once where a process died over it.")
    progress: ProgressBody
    images: list[ImageBody]
    notes: list[str] = Field(description="Remarks, such as an option that the scheduler can't take.")
    effective_prompt: str | None = Field(description="What was encoded, after enhancement; null until it is done.")
    effective_negative_prompt: str | None
    error: ProblemBody | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    webhook: str | None = Field(description="URL that is told of the end.")
    deliveries: list[DeliveryBody] | None = Field(
        description="What was, is and will be delivered about it; only in the answer of GET /generations/{id}."
    )
    request: GenerationSettings


class GenerationList(BaseModel):
    """A page of generations, the newest first."""

    generations: list[GenerationRecord]
    next: str | None = Field(description="Cursor for `after` of the next page, null on the last one.")


class WebhookEndpointRecord(BaseModel):
    """A URL that is told of your generations."""

    id: str
    dialect: str = Field(description="Which API it was set up through, and gets the bodies of.", examples=["native"])
    url: str
    events: list[str] = Field(description="What it hears of; `*` for everything.")
    description: str
    enabled: bool
    disabled_because: str | None = Field(description="Why nothing is sent any more; null where you said so.")
    failed_attempts: int
    attempts: int = Field(description="To deliver something, so far.")
    delivered_at: datetime | None = Field(description="When it was reached last.")
    created_at: datetime
    updated_at: datetime


class NewWebhookEndpoint(WebhookEndpointRecord):
    """A webhook endpoint and its secret."""

    secret: str = Field(description="Signs what is sent there, as Standard Webhooks says; it is not shown again.")


class WebhookEndpointList(BaseModel):
    """All of your webhook endpoints."""

    webhook_endpoints: list[WebhookEndpointRecord]


class WebhookSecret(BaseModel):
    """What signs the webhooks of requests."""

    secret: str = Field(description="As the libraries of Standard Webhooks take it.")


class AssetRecordBody(BaseModel):
    """What is known of a file."""

    id: str = Field(description="Name it as `asset:ID` in picture fields.")
    url: str = Field(description="Where it is read, without a key.")
    name: str
    media_type: str
    width: int
    height: int
    size: int = Field(description="Bytes.")
    sha256: str
    source: str = Field(description="How it came here: `uploaded`, `generated`, or as another API calls it.")
    generation: str | None = Field(description="Id of the generation that made it.")
    created_at: datetime
    expires_at: datetime | None = Field(description="When it is removed; null for when you say so.")


class AssetList(BaseModel):
    """A page of files, the newest first."""

    assets: list[AssetRecordBody]
    next: str | None = Field(description="Cursor for `after` of the next page, null on the last one.")
