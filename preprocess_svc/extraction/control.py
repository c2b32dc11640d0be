"""What a control type is, and the ways to make its hint."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from families.graphs import MASKED_CONTROLS
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
    "Shorter side of the picture as the annotator sees it, pixels; 0 for the annotator's own.",
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
        """What to do before it can be used here; empty if it can be."""
        return ""

    def settle(self, kind: str, given: Mapping[str, float], at: str = "parameters") -> dict[str, float]:
        """Every parameter's value: the given one, else the default. `at` is where they stand in the request.

        Raises:
            InvalidInput: a name that the extractor doesn't take, or a value out of range.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, value in given.items():
            if name not in known:
                takes = ", ".join(known) or "none"
                raise InvalidInput(
                    f"control {kind!r} takes no parameter {name!r}; it takes: {takes}", field=f"{at}.{name}"
                )
            if not known[name].holds(value):
                raise InvalidInput(f"{name} must be {known[name]}, not {value:g}", field=f"{at}.{name}")
        return {name: given.get(name, parameter.default) for name, parameter in known.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm(Extractor):
    """Made by arithmetic alone.

    Args:
        extract: (picture UINT8 [h, w, 3], every parameter by name) -> hint UINT8 [h, w, 3]; off the event loop.
        stand_in: True for a crude one that is used only when a request names it, and labelled in the reply.
        as_ready: True where the picture is the hint already, or nearly: it is fitted as a ready one.
    """

    extract: Callable[[Pixels, Mapping[str, float]], Pixels]
    stand_in: bool = False
    as_ready: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned(Extractor):
    """Found by annotators that Triton serves, and drawn here.

    Args:
        heads: what it needs at least (families.annotators.HEADS).
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
    """Made from words.

    Args:
        write: (words, (width, height) in pixels, every parameter by name) -> hint UINT8 [height, width, 3]; raises
            InvalidInput for words that it can't take, with the field "text".
    """

    write: Callable[[str, tuple[int, int], Mapping[str, float]], Pixels]


@dataclass(frozen=True, slots=True)
class ControlType:
    """One kind of control.

    Args:
        kind: name in requests and of the ControlNet.
        description: what its hint looks like: values, colours, polarity; one sentence.
        extractors: the ways to make it, the preferred first; none where only ready hints exist.
        ready: how a ready hint is recognised and put right.
        controlnets: family -> hub ids of ControlNets that take it.
    """

    kind: str
    description: str
    extractors: tuple[Algorithm | Learned | Written, ...] = ()
    ready: Ready = Ready()
    controlnets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def reads_mask(self) -> bool:
        """Whether a mask goes with the hint, as its fourth channel; extractors neither see nor make it."""
        return self.kind in MASKED_CONTROLS

    def usual(self, annotators: Annotators) -> Algorithm | Learned | None:
        """The extractor that a request for a picture's hint gets which names none; None if there is none here."""
        for extractor in self.extractors:
            if isinstance(extractor, Written) or (isinstance(extractor, Algorithm) and extractor.stand_in):
                continue
            if not extractor.missing(annotators):
                return extractor
        return None

    def how_to_get(self, annotators: Annotators) -> str:
        """What a caller can do about a kind without extractor here, one sentence."""
        wanting = [words for extractor in self.extractors if (words := extractor.missing(annotators))]
        stand_ins = [one.name for one in self.extractors if isinstance(one, Algorithm) and one.stand_in]
        return "; or ".join(
            (
                *wanting,
                "send a ready hint with auto_hint off",
                *(f"ask for the crude stand-in with extractor {name!r}" for name in stand_ins),
            )
        )
