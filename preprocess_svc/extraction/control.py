"""The control type, and the kinds of extractors that make its hint."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from families.facts import MASKED_CONTROLS
from mesh.errors import InvalidInput
from mesh.pictures import Pixels
from preprocess_svc.annotators import Annotators
from preprocess_svc.extraction.ready import Ready


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number that tunes an extractor: its name, meaning and unit, range and default; `whole` for whole numbers."""

    name: str
    description: str
    minimum: float
    maximum: float
    default: float
    whole: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` is allowed; NaN never is."""
        return self.minimum <= value <= self.maximum and (not self.whole or float(value).is_integer())

    def __str__(self) -> str:
        return f"{'a whole number, ' if self.whole else ''}{self.minimum:g} to {self.maximum:g}"


DETECT_RESOLUTION = Parameter(
    "detect_resolution",
    "Shorter side of the picture as the annotator sees it, pixels; 0 for the annotator's default.",
    0,
    1024,
    0,
    whole=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    """One way to make a kind's hint; use one of the subclasses.

    Args:
        name: in requests, unique within the kind.
        description: what it does, one sentence.
        source: paper, program or library that it follows.
        parameters: what tunes it.
    """

    name: str
    description: str
    source: str
    parameters: tuple[Parameter, ...] = ()

    def missing(self, annotators: Annotators) -> str:
        """Why it can't be used here and what to do about it; empty if it can."""
        return ""

    def settle(self, kind: str, given: Mapping[str, float], at: str = "parameters") -> dict[str, float]:
        """Complete the parameters with defaults and check them. `at` is their path in the request.

        Raises:
            InvalidInput: an unknown parameter, or a value out of range.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                takes = ", ".join(known) or "none"
                raise InvalidInput(f"control {kind!r} has no parameter {name!r}; it has: {takes}", field=f"{at}.{name}")
            if not known[name].holds(value):
                raise InvalidInput(f"{name} must be {known[name]}, not {value:g}", field=f"{at}.{name}")
        return {name: given.get(name, parameter.default) for name, parameter in known.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm(Extractor):
    """An extractor that computes the hint from the picture, without a model.

    Args:
        extract: (picture UINT8 [h, w, 3], every parameter by name) -> hint UINT8 [h, w, 3]; off the event loop.
        stand_in: True for a crude substitute that is used only if a request names it, and labelled in the reply.
        as_ready: True if the picture is already the hint, or nearly: it is resized like a ready hint.
    """

    extract: Callable[[Pixels, Mapping[str, float]], Pixels]
    stand_in: bool = False
    as_ready: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned(Extractor):
    """An extractor that draws the hint from maps that annotators find in Triton.

    Args:
        heads: the heads that it needs at least (families.annotators.HEADS).
        annotate: (picture UINT8 [h, w, 3], every parameter by name, annotators) -> hint UINT8 [h, w, 3]; on the event
            loop, with heavy drawing in a thread.
        how_to_get: the command that exports an annotator for it.
    """

    heads: tuple[str, ...]
    annotate: Callable[[Pixels, Mapping[str, float], Annotators], Awaitable[Pixels]]
    how_to_get: str

    def missing(self, annotators: Annotators) -> str:
        absent = [head for head in self.heads if annotators.card(head) is None]
        return f"no annotator for {' and '.join(absent)} is loaded; export one: {self.how_to_get}" if absent else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Extractor):
    """An extractor that makes the hint from text.

    Args:
        write: (text, (width, height) in pixels, every parameter by name) -> hint UINT8 [height, width, 3]; raises
            InvalidInput with the field "text" for text that it can't use.
    """

    write: Callable[[str, tuple[int, int], Mapping[str, float]], Pixels]


@dataclass(frozen=True, slots=True)
class ControlType:
    """One kind of control.

    Args:
        kind: its name in requests, and the name of the ControlNet.
        description: what its hint looks like: values, colours, polarity; one sentence.
        extractors: the ways to make it, the preferred one first; empty if only ready hints can be sent.
        ready: how a ready hint is checked and corrected.
        controlnets: family -> hub ids of ControlNets that take it.
    """

    kind: str
    description: str
    extractors: tuple[Algorithm | Learned | Written, ...] = ()
    ready: Ready = Ready()
    controlnets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def reads_mask(self) -> bool:
        """Whether the hint has a mask as its fourth channel; extractors neither see nor make it."""
        return self.kind in MASKED_CONTROLS

    def usual(self, annotators: Annotators) -> Algorithm | Learned | None:
        """The extractor for requests that send a picture and name no extractor; None if none is available here."""
        for extractor in self.extractors:
            if isinstance(extractor, Written) or (isinstance(extractor, Algorithm) and extractor.stand_in):
                continue
            if not extractor.missing(annotators):
                return extractor
        return None

    def how_to_get(self, annotators: Annotators) -> str:
        """What a caller can do if no extractor of the kind is available here, one sentence."""
        reasons = [reason for extractor in self.extractors if (reason := extractor.missing(annotators))]
        stand_ins = [one.name for one in self.extractors if isinstance(one, Algorithm) and one.stand_in]
        return "; or ".join(
            (
                *reasons,
                "send a ready hint with auto_hint off",
                *(f"ask for the crude stand-in with extractor {name!r}" for name in stand_ins),
            )
        )
