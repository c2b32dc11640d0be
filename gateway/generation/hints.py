"""Hints alone: one control's map as a picture, for callers who want to look at it or keep it."""

import time
from dataclasses import dataclass, field

from controlmesh.v1 import preprocess_pb2, types_pb2
from families.limits import HINT_CHARACTERS, SIDE
from gateway.generation.checks import Check, flag, identifier, optional, parameters, whole, words
from gateway.generation.generation import Control
from gateway.generation.services import Services
from mesh.channels import call, outgoing
from mesh.errors import DeadlineExceeded, InvalidInput


@dataclass(frozen=True)
class HintRequest:
    """The hint that a caller wants.

    Attributes:
        kind: control kind such as "canny".
        image: the encoded picture, whose header has been checked; b"" stands for one that is not read yet, None is
            beside `text`.
        mask: encoded picture whose white marks what to repaint, for kinds that read one.
        auto_hint: True extracts the hint from `image`, False fits `image`, the ready hint, to the size.
        parameters: of the extractor, by name.
        extractor: which of the kind's extractors makes the hint; None takes the usual one. preprocess_svc judges it.
        text: words that the hint is made from in place of a picture, for kinds that can; None for none.
        width, height: pixels of the hint, both or neither; None keeps the proportions of `image`, and of words makes a
            square.
        short_side: pixels of the shorter side where no size is given; None takes that of preprocess_svc.

    Raises:
        InvalidInput: naming the field, its range and what was sent.
    """

    kind: str
    image: bytes | None = field(default=None, repr=False)
    mask: bytes | None = field(default=None, repr=False)
    auto_hint: bool = Control.auto_hint
    parameters: dict[str, float] = field(default_factory=dict)
    extractor: str | None = None
    text: str | None = field(default=None, repr=False)
    width: int | None = None
    height: int | None = None
    short_side: int | None = None

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            check(name, getattr(self, name))
        if self.image is None and self.text is None:
            raise InvalidInput(
                "image is missing; send the picture to make it from, or text for a kind that is made from words",
                field="image",
            )
        if self.image is not None and self.text is not None:
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


_CHECKS: dict[str, Check] = {
    "kind": identifier,
    "auto_hint": flag,
    "parameters": parameters,
    "extractor": optional(identifier),
    "text": optional(words(HINT_CHARACTERS)),
    "width": optional(whole(SIDE)),
    "height": optional(whole(SIDE)),
    "short_side": optional(whole(SIDE)),
}


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
        """The hint that was `asked` for. Cancelling this stops the service.

        Raises:
            MeshError: as preprocess_svc says it, its fields named as in ExtractHintRequest (`control.kind`);
                DeadlineExceeded after `deadline_s`.
        """
        request = preprocess_pb2.ExtractHintRequest(
            control=types_pb2.Control(
                kind=asked.kind,
                image=None if asked.image is None else types_pb2.Image(content=asked.image),
                mask=None if asked.mask is None else types_pb2.Image(content=asked.mask),
                auto_hint=asked.auto_hint,
                parameters=asked.parameters,
                extractor=asked.extractor or "",
                text=asked.text or "",
            ),
            width=asked.width or 0,
            height=asked.height or 0,
            short_side=asked.short_side or 0,
        )
        began = time.monotonic()
        try:
            answer = await call(
                self._services.preprocess.ExtractHint(request, timeout=self._deadline_s, metadata=outgoing())
            )
        except DeadlineExceeded:
            raise DeadlineExceeded(
                f"the hint was not done after {self._deadline_s:g} seconds; ask for a smaller one or try again later"
            ) from None
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
