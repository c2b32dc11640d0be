"""Hints alone: one control's map as a picture, for callers who want to look at it or keep it."""

import time
from dataclasses import dataclass, field

from families.limits import SIDE
from gateway.generation import messages
from gateway.generation.checks import optional, whole
from gateway.generation.declared import asked, check_fields
from gateway.generation.generation import Control
from gateway.generation.services import Services
from mesh.channels import call, outgoing
from mesh.errors import DeadlineExceeded, InvalidInput

_SIDE_WORDS = "Pixels; with the other side, or left out with it."


@dataclass(frozen=True)
class HintRequest:
    """The hint that a caller wants.

    Attributes:
        control: what to make it of, and how; its weight and window mean nothing here.

    Raises:
        InvalidInput: naming the field as if the control's stood beside the size, its range and what was sent.
    """

    control: Control
    width: int | None = asked(optional(whole(SIDE)), _SIDE_WORDS, None)
    height: int | None = asked(optional(whole(SIDE)), _SIDE_WORDS, None)
    short_side: int | None = asked(
        optional(whole(SIDE)), "Pixels of the shorter side where no size is given; left out: 512.", None
    )

    def __post_init__(self) -> None:
        check_fields(self.control)
        check_fields(self)
        if self.control.image is None and self.control.text is None:
            raise InvalidInput(
                "image is missing; send the picture to make it from, or text for a kind that is made from words",
                field="image",
            )
        if self.control.image is not None and self.control.text is not None:
            raise InvalidInput("text and image can't both make the hint; leave one of them out", field="text")
        for name, other in (("width", "height"), ("height", "width")):
            if getattr(self, name) is None and getattr(self, other) is not None:
                raise InvalidInput(
                    f"{name} is missing beside {other}; send both, or neither to keep the picture's proportions",
                    field=name,
                )
        if self.short_side is not None and self.width is not None:
            raise InvalidInput(
                "short_side has no meaning beside width and height; leave it out, or leave out both of them",
                field="short_side",
            )


@dataclass(frozen=True)
class Hint:
    """One finished hint.

    Attributes:
        content: the PNG.
        width, height: its size in pixels.
        seconds: from asking for it to having it, waiting included.
        service_seconds: what preprocess_svc took of that once it was its turn.
        extractor: which made it; "" if a ready hint was fitted.
        annotator: name of the model that found it; "" for none.
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
    """The hint that was `asked` for. Cancelling this stops the service.

    Args:
        services: only preprocess_svc is called.
        asked: what to make.
        timeout_s: seconds that it may take.

    Raises:
        MeshError: as preprocess_svc says it, its fields named as in ExtractHintRequest (`control.kind`).
    """
    began = time.monotonic()
    request = messages.extract(asked.control, asked)
    answer = await call(services.preprocess.ExtractHint(request, timeout=timeout_s, metadata=outgoing()))
    return Hint(
        content=answer.hint.content,
        width=answer.hint.width,
        height=answer.hint.height,
        seconds=time.monotonic() - began,
        service_seconds=answer.seconds,
        extractor=answer.extractor,
        annotator=answer.annotator,
        # There is one control, so that a remark need not say of which it is.
        notes=tuple(note.removeprefix("control: ") for note in answer.notes),
    )


class Hints:
    """Has hints made by preprocess_svc.

    Args:
        services: the three; only preprocess_svc is asked.
        deadline_s: seconds that one hint may take.
    """

    def __init__(self, services: Services, deadline_s: float) -> None:
        self._services = services
        self._deadline_s = deadline_s

    async def make(self, asked: HintRequest) -> Hint:
        """The hint that was `asked` for, as `extract` makes it.

        Raises:
            MeshError: as `extract`; DeadlineExceeded after `deadline_s`.
        """
        try:
            return await extract(self._services, asked, self._deadline_s)
        except DeadlineExceeded:
            raise DeadlineExceeded(
                f"the hint was not done after {self._deadline_s:g} seconds; ask for a smaller one or try again later"
            ) from None
