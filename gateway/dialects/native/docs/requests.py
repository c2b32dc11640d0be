"""Schemas of the native API's requests, for its documentation. Limits are from families.limits, defaults from
gateway.generation.generation."""

from pydantic import BaseModel, Field

from families import limits
from gateway.dialects.native.docs.models import request_model
from gateway.generation.declared import words_of
from gateway.generation.generation import PICTURE_WORDS, Control, Generation
from gateway.generation.hints import HintRequest
from gateway.jobs.bounds import DEADLINE_S, PRIORITY
from gateway.jobs.job import DEFAULT_PRIORITY
from gateway.webhooks.announcement import EVENTS
from gateway.webhooks.endpoints import LONGEST_DESCRIPTION, MOST_EVENTS

EXPIRES_S = limits.Range(60, 365 * 86_400)


class ControlBody(request_model("ControlFields", Control)):  # type: ignore[misc]
    """A control, which steers the generation."""


class GenerationBody(request_model("GenerationFields", Generation, nested={Control: ControlBody})):  # type: ignore[misc]
    """A request for pictures. Unknown fields are refused."""

    # May be left out in guess mode.
    prompt: str | None = Field(None, max_length=limits.PROMPT_CHARACTERS, description=words_of(Generation, "prompt"))
    priority: int = Field(
        DEFAULT_PRIORITY,
        ge=PRIORITY.minimum,
        le=PRIORITY.maximum,
        description="Priority among your own waiting generations; 9 goes first.",
    )
    deadline_s: float | None = Field(
        None,
        ge=DEADLINE_S.minimum,
        le=DEADLINE_S.maximum,
        description="Deadline in seconds from now; left out: the deployment's limit.",
    )
    webhook: str | None = Field(
        None,
        description="http(s) URL that is notified when it has ended. The generation is then queued, not started at "
        "once.",
        examples=["https://example.org/hook"],
    )


# A hint has no weight and no window of steps, and no surrounding request to take pictures from.
_NOT_OF_HINTS = ("weight", "start", "end")


class HintBody(request_model("HintFields", Control, HintRequest, without=_NOT_OF_HINTS)):  # type: ignore[misc]
    """A request for a hint. Unknown fields are refused."""

    image: str | None = Field(None, description=f"{PICTURE_WORDS} Required without `text`.")
    mask: str | None = Field(
        None, description="A picture, as `image`, whose white marks what to repaint; only for kinds that read a mask."
    )


class HintBatchBody(BaseModel):
    """Several hints, made concurrently."""

    hints: list[HintBody] = Field(min_length=1, max_length=limits.MOST_HINTS)


_TOLD = Field(
    ["*"],
    min_length=1,
    max_length=MOST_EVENTS,
    description="Events that it gets; `*` for all.",
    json_schema_extra={"items": {"type": "string", "enum": ["*", *EVENTS.values()]}},
    examples=[["generation.completed", "generation.failed"]],
)
_URL = "http(s) URL of a public host, which is notified of all your generations."
_DESCRIPTION = Field("", max_length=LONGEST_DESCRIPTION, description="For people to read.")


class WebhookEndpointBody(BaseModel):
    """A URL to notify of your generations. Unknown fields are refused."""

    url: str = Field(description=_URL, examples=["https://example.org/hook"])
    events: list[str] = _TOLD
    description: str = _DESCRIPTION


class WebhookEndpointChange(BaseModel):
    """Changes of a webhook endpoint; fields that are left out stay unchanged. Unknown fields are refused."""

    url: str | None = Field(None, description=_URL)
    events: list[str] | None = Field(
        None, min_length=1, max_length=MOST_EVENTS, description="Event names of the API that it was created through."
    )
    description: str | None = Field(None, max_length=LONGEST_DESCRIPTION)
    enabled: bool | None = Field(None, description="Whether messages are sent.")


class AssetBody(BaseModel):
    """A picture to store. Unknown fields are refused."""

    image: str = Field(description=PICTURE_WORDS)
    name: str = Field("", max_length=limits.PROMPT_CHARACTERS, description="For people to read.", examples=["cat.png"])
    expires_s: float | None = Field(
        None,
        ge=EXPIRES_S.minimum,
        le=EXPIRES_S.maximum,
        description="Seconds after which it is removed; left out: kept until it is deleted.",
    )
