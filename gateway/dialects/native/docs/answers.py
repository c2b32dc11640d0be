"""Schemas of the native API's answers, for its documentation."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from gateway.dialects.native.docs.models import record_model
from gateway.generation.generation import Control, Generation
from gateway.jobs.job import Status
from gateway.webhooks.records import DeliveryStatus


class HintAnswer(BaseModel):
    """One finished hint."""

    image: str = Field(description="PNG as a data URL; the masked area is black in it.")
    width: int
    height: int
    kind: str
    extractor: str | None = Field(description="Extractor that made it; null for a ready hint.")
    annotator: str | None = Field(
        description="Name of the extractor's model, such as demo; null for algorithms, text and ready hints."
    )
    notes: list[str] = Field(
        description="Remarks, such as that a stand-in made it or that a ready hint was inverted.",
        examples=[["the drawing was dark on light; it was inverted"]],
    )
    service_ms: float = Field(description="Milliseconds of work, from reading the picture to the finished hint.")
    duration_ms: float = Field(description="Milliseconds from the request to the result, waiting included.")


class HintBatchAnswer(BaseModel):
    """Several finished hints, in the order of the request."""

    hints: list[HintAnswer]
    duration_ms: float = Field(description="Milliseconds from reading the request to the last result.")


class ProgressBody(BaseModel):
    """Model calls done and in total, over all pictures."""

    step: int
    steps: int


class ImageBody(BaseModel):
    """A finished picture."""

    url: str
    seed: int = Field(description="Seed that reproduces exactly this picture.")
    width: int
    height: int


class ProblemBody(BaseModel):
    """An error as RFC 9457 problem details."""

    type: str = Field(
        description="Kind of error; GET /controlmesh/v1/problems lists them.",
        examples=["/controlmesh/v1/problems/invalid"],
    )
    title: str
    status: int
    detail: str = Field(description="What was wrong and what to change.")
    field: str | None = Field(None, description="The field that is wrong.")
    retry_after: float | None = Field(None, description="Seconds after which the same request may succeed.")


class ControlSettings(record_model("ControlRecord", Control)):  # type: ignore[misc]
    """A control as it was applied, without its pictures."""


class GenerationSettings(record_model("GenerationFields", Generation, {Control: ControlSettings})):  # type: ignore[misc]
    """The request's settings: sent again with the same input pictures, they make the same pictures."""

    # Even if left out of the request, these are known by now.
    model: str = Field(description="Name of the model.")
    scheduler: str = Field(description="Name of the scheduler.")
    seed: int = Field(description="Seed of the first picture.")


class DeliveryBody(BaseModel):
    """A webhook message to a URL."""

    id: str = Field(description="The webhook-id header, the same in every attempt.")
    url: str
    event: str = Field(examples=["generation.completed"])
    status: Literal[tuple(DeliveryStatus)]  # type: ignore[valid-type]
    attempts: int
    last_answer: str | None = Field(description="HTTP status of the last attempt, or what happened instead.")
    next_at: datetime | None = Field(description="Time of the next attempt; null if there is none.")
    created_at: datetime
    done_at: datetime | None


class GenerationRecord(BaseModel):
    """The record of a generation."""

    id: str
    dialect: str = Field(description="API that it was requested through.", examples=["native"])
    status: Literal[tuple(Status)]  # type: ignore[valid-type]
    priority: int
    attempts: int = Field(description="How many times it was started; more than once if a process died.")
    progress: ProgressBody
    images: list[ImageBody]
    notes: list[str] = Field(description="Remarks, such as an option that the scheduler does not support.")
    effective_prompt: str | None = Field(
        description="The text that was encoded, after enhancement; null until it is done."
    )
    effective_negative_prompt: str | None
    error: ProblemBody | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    webhook: str | None = Field(description="URL that is notified when it has ended.")
    deliveries: list[DeliveryBody] | None = Field(
        description="The webhook deliveries about it; only in the answer of GET /generations/{id}."
    )
    request: GenerationSettings


class GenerationList(BaseModel):
    """A page of generations, newest first."""

    generations: list[GenerationRecord]
    next: str | None = Field(description="Cursor for `after` of the next page; null on the last page.")


class WebhookEndpointRecord(BaseModel):
    """A URL that is notified of your generations."""

    id: str
    dialect: str = Field(
        description="API that it was created through; decides the format of the bodies.", examples=["native"]
    )
    url: str
    events: list[str] = Field(description="Events that it gets; `*` for all.")
    description: str
    enabled: bool
    disabled_because: str | None = Field(description="Why it was disabled automatically; null if you disabled it.")
    failed_attempts: int
    attempts: int = Field(description="Delivery attempts so far.")
    delivered_at: datetime | None = Field(description="Time of the last successful delivery.")
    created_at: datetime
    updated_at: datetime


class NewWebhookEndpoint(WebhookEndpointRecord):
    """A new webhook endpoint and its secret."""

    secret: str = Field(description="Signs the messages as in Standard Webhooks; it is not shown again.")


class WebhookEndpointList(BaseModel):
    """All of your webhook endpoints."""

    webhook_endpoints: list[WebhookEndpointRecord]


class WebhookSecret(BaseModel):
    """The secret that signs the webhooks of requests."""

    secret: str = Field(description="In the format of the Standard Webhooks libraries.")


class AssetRecordBody(BaseModel):
    """The record of a file."""

    id: str = Field(description="Refer to it as `asset:ID` in picture fields.")
    url: str = Field(description="URL of the file, which works without a key.")
    name: str
    media_type: str
    width: int
    height: int
    size: int = Field(description="Bytes.")
    sha256: str
    source: str = Field(description="Its origin: `uploaded`, `generated`, or another API's term.")
    generation: str | None = Field(description="Id of the generation that made it.")
    created_at: datetime
    expires_at: datetime | None = Field(description="When it is removed; null: only when you delete it.")


class AssetList(BaseModel):
    """A page of files, newest first."""

    assets: list[AssetRecordBody]
    next: str | None = Field(description="Cursor for `after` of the next page; null on the last page.")
