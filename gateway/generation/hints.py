"""Hints without a generation: a control's map as a picture, to look at or to keep."""

import asyncio
import time
from dataclasses import dataclass, field, replace

from families.limits import SIDE
from gateway.generation import messages
from gateway.generation.checks import optional, whole
from gateway.generation.declared import asked, check_fields
from gateway.generation.generation import Control, check_source
from gateway.generation.hint_places import HintPlaces
from gateway.generation.services import Services
from mesh.channels import outgoing
from mesh.errors import DeadlineExceeded, InvalidInput

_SIDE_WORDS = "Pixels; width and height are sent together or not at all."


@dataclass(frozen=True)
class HintRequest:
    """A request for a hint.

    Attributes:
        control: the picture or text to make it from, and how; its weight and window have no meaning here.

    Raises:
        InvalidInput: naming the field, as if the control's fields were at the same level as the size, its range and
            what was sent.
    """

    control: Control
    width: int | None = asked(optional(whole(SIDE)), _SIDE_WORDS, None)
    height: int | None = asked(optional(whole(SIDE)), _SIDE_WORDS, None)
    short_side: int | None = asked(
        optional(whole(SIDE)), "Pixels of the shorter side if no size is given; left out: 512.", None
    )

    def __post_init__(self) -> None:
        check_fields(self.control)
        check_fields(self)
        check_source("", self.control, "text for a kind that is made from text")
        for name, other in (("width", "height"), ("height", "width")):
            if getattr(self, name) is None and getattr(self, other) is not None:
                raise InvalidInput(
                    f"{name} is missing: {other} was sent without it; send both, or neither to keep the picture's "
                    "proportions",
                    field=name,
                )
        if self.short_side is not None and self.width is not None:
            raise InvalidInput(
                "short_side can't be combined with width and height; leave it out, or leave out both of them",
                field="short_side",
            )


@dataclass(frozen=True)
class Hint:
    """A finished hint.

    Attributes:
        content: the PNG.
        width, height: its size in pixels.
        seconds: from the request to the result, waiting included.
        service_seconds: of these, the time that preprocess_svc worked on it.
        extractor: the extractor that made it; "" if a ready hint was fitted.
        annotator: name of the model behind the extractor; "" for none.
        notes: remarks for the caller, such as that a stand-in made it.
    """

    content: bytes = field(repr=False)
    width: int
    height: int
    seconds: float
    service_seconds: float
    extractor: str
    annotator: str
    notes: tuple[str, ...]


async def extract(services: Services, asked: HintRequest, timeout_s: float) -> Hint:
    """Have preprocess_svc make the requested hint. Cancelling this stops the service.

    Args:
        services: the three services; only preprocess_svc is called.
        asked: the request.
        timeout_s: timeout in seconds.

    Raises:
        MeshError: as preprocess_svc raises it, with fields named as in ExtractHintRequest (`control.kind`).
    """
    began = time.monotonic()
    request = messages.extract(asked.control, asked)
    answer = await services.retries.call(
        lambda: services.preprocess.ExtractHint(
            request, timeout=max(began + timeout_s - time.monotonic(), 0.001), metadata=outgoing()
        )
    )
    return Hint(
        content=answer.hint.content,
        width=answer.hint.width,
        height=answer.hint.height,
        seconds=time.monotonic() - began,
        service_seconds=answer.seconds,
        extractor=answer.extractor,
        annotator=answer.annotator,
        # There is only one control, so a note need not say which one it is about.
        notes=tuple(note.removeprefix("control: ") for note in answer.notes),
    )


class Hints:
    """Makes hints with a deadline.

    Args:
        services: the three services; only preprocess_svc is called.
        deadline_s: deadline of a hint in seconds, waiting included.
        places: where hints wait for each other.
    """

    def __init__(self, services: Services, deadline_s: float, places: HintPlaces) -> None:
        self._services = services
        self._deadline_s = deadline_s
        self._places = places

    async def make(self, asked: HintRequest, owner: str, is_sole: bool) -> Hint:
        """Make the requested hint for `owner`; see `extract`, and HintPlaces.of for `is_sole`.

        Raises:
            MeshError: as `extract`; DeadlineExceeded after `deadline_s`.
            Overloaded, TooOften: too many hints are waiting, of all owners or of this one.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._deadline_s), self._places.of(owner, is_sole):
                made = await extract(self._services, asked, max(began + self._deadline_s - time.monotonic(), 0.001))
                return replace(made, seconds=time.monotonic() - began)
        except (DeadlineExceeded, TimeoutError):
            raise DeadlineExceeded(
                f"the hint was not done after {self._deadline_s:g} seconds; ask for a smaller one or try again later"
            ) from None
