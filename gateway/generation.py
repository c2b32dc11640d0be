"""The one canonical request, checked against the limits of families/limits.py; every default stands here."""

import math
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

from controlmesh.v1 import types_pb2
from families.limits import (
    CLIP_SKIP,
    DEFAULT_END,
    DEFAULT_WEIGHT,
    FRACTION,
    GUIDANCE,
    MOST_CONTROLS,
    PROMPT_CHARACTERS,
    SAMPLES,
    SEED,
    SIDE,
    STEPS,
    WEIGHT,
    Range,
)
from mesh.errors import InvalidInput

MOST_PARAMETERS = 16

FORMATS: dict[str, types_pb2.ImageFormat.ValueType] = {
    "png": types_pb2.IMAGE_FORMAT_PNG,
    "jpeg": types_pb2.IMAGE_FORMAT_JPEG,
    "webp": types_pb2.IMAGE_FORMAT_WEBP,
}

# Names of models, schedulers and kinds reach registries and file names further on; no separator may be in them.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Control:
    """One picture that steers the generation.

    Attributes:
        kind: control kind such as "canny".
        image: the encoded picture; its header has been checked.
        auto_hint: True extracts the hint from `image`, False takes `image` as the hint.
        weight: conditioning scale.
        start: fraction of the steps at which the control begins.
        end: fraction of the steps at which it ends, not before `start`.
        parameters: of the extractor, by name.
        mask: encoded picture whose white marks what to repaint, for kinds that read one; None takes the request's.
    """

    kind: str
    image: bytes = field(repr=False)
    auto_hint: bool = True
    weight: float = DEFAULT_WEIGHT
    start: float = 0.0
    end: float = DEFAULT_END
    parameters: dict[str, float] = field(default_factory=dict)
    mask: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Generation:
    """What a caller wants, whatever dialect it came in.

    Attributes:
        prompt: what the picture should show.
        negative_prompt: what it should not show.
        model: name of a loaded model; None takes the default one.
        controls: what steers the picture.
        width, height: pixels; None leaves the size to the control's picture and the model.
        steps: denoising steps.
        guidance_scale: classifier-free guidance; 1 is none.
        scheduler: name of a scheduler; None takes the model's own.
        seed: of the first picture; None is random, and reported.
        samples: number of pictures.
        format: of the pictures, a key of FORMATS.
        clip_skip: last layers of the text encoder to skip.
        image: encoded picture to start from; None starts from noise.
        mask: encoded picture whose white marks what to repaint of `image`; None changes all of it.
        strength: how much of `image` is changed; None takes DEFAULT_STRENGTH. Without `image` it is refused.
        guess_mode: the hints lead, the prompt may be empty.
        use_karras_sigmas: spacing of the noise levels; None as the model's own configuration says.
        algorithm_type: variant of the solver; None takes the scheduler's own.
        prompt_weighting: read weights and long prompts; False takes the words as they stand.
        enhance_prompt: append words of quality.
        enhance_style: name of a style whose words are put around the prompts.
        preview_every: model calls from one preview to the next; 0 for none.

    Raises:
        InvalidInput: naming the field, its range and what was sent.
    """

    prompt: str
    negative_prompt: str = ""
    model: str | None = None
    controls: tuple[Control, ...] = ()
    width: int | None = None
    height: int | None = None
    steps: int = 20
    guidance_scale: float = 7.5
    scheduler: str | None = None
    seed: int | None = None
    samples: int = 1
    format: str = "png"
    clip_skip: int = 0
    image: bytes | None = field(default=None, repr=False)
    mask: bytes | None = field(default=None, repr=False)
    strength: float | None = None
    guess_mode: bool = False
    use_karras_sigmas: bool | None = None
    algorithm_type: str | None = None
    prompt_weighting: bool = True
    enhance_prompt: bool = False
    enhance_style: str | None = None
    preview_every: int = 0

    def __post_init__(self) -> None:
        text("prompt", self.prompt)
        text("negative_prompt", self.negative_prompt)
        for name in ("model", "scheduler"):
            if getattr(self, name) is not None:
                identifier(name, getattr(self, name))
        for name in ("width", "height"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), SIDE)
        whole("steps", self.steps, STEPS)
        number("guidance_scale", self.guidance_scale, GUIDANCE)
        if self.seed is not None:
            whole("seed", self.seed, SEED)
        whole("samples", self.samples, SAMPLES)
        whole("clip_skip", self.clip_skip, CLIP_SKIP)
        if not isinstance(self.format, str) or self.format not in FORMATS:
            raise wrong("format", f"one of {', '.join(FORMATS)}", self.format)
        if len(self.controls) > MOST_CONTROLS:
            raise InvalidInput(
                f"controls has {len(self.controls)} entries; at most {MOST_CONTROLS} are taken", field="controls"
            )
        for index, control in enumerate(self.controls):
            _check_control(f"controls[{index}]", control)

    def seeds(self) -> list[int]:
        """Seed of each picture, counting up from `seed`, within the range that a caller can send back."""
        first = self.seed if self.seed is not None else 0
        return [(first + index) % (int(SEED.maximum) + 1) for index in range(self.samples)]

    def with_seed(self) -> "Generation":
        """Itself, or with a random seed where none was given."""
        return self if self.seed is not None else replace(self, seed=secrets.randbelow(int(SEED.maximum) + 1))

    def without_pictures(self) -> "Generation":
        """The same without the bytes of the controls, to be remembered."""
        return replace(self, controls=tuple(replace(control, image=b"") for control in self.controls))


def text(name: str, value: object) -> None:
    """Check that `value` is text of a length that is taken."""
    if not isinstance(value, str):
        raise wrong(name, "text", value)
    if len(value) > PROMPT_CHARACTERS:
        raise InvalidInput(f"{name} has {len(value)} characters; at most {PROMPT_CHARACTERS} are taken", field=name)


def identifier(name: str, value: object) -> None:
    """Check that `value` can be the name of a model, scheduler or kind."""
    if not isinstance(value, str) or not _NAME.fullmatch(value) or ".." in value:
        raise wrong(name, "a name of letters, digits, '.', '_' and '-', at most 128 characters", value)


def whole(name: str, value: object, limits: Range) -> None:
    """Check that `value` is a whole number within `limits`."""
    words = f"a whole number from {limits.minimum:.0f} to {limits.maximum:.0f}"
    if limits.multiple > 1:
        words += f", a multiple of {limits.multiple}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong(name, words, value)
    if not limits.minimum <= value <= limits.maximum or value % limits.multiple:
        raise wrong(name, words, value)


def number(name: str, value: object, limits: Range) -> None:
    """Check that `value` is a finite number within `limits`."""
    words = f"a number from {limits.minimum:g} to {limits.maximum:g}"
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise wrong(name, words, value)
    if not limits.minimum <= value <= limits.maximum:
        raise wrong(name, words, value)


def wrong(name: str, expected: str, value: object) -> InvalidInput:
    """The error that says what `name` must be and what was sent."""
    sent = repr(value)
    return InvalidInput(f"{name} must be {expected}, not {sent if len(sent) <= 80 else sent[:77] + '...'}", field=name)


def _check_control(at: str, control: Control) -> None:
    identifier(f"{at}.kind", control.kind)
    if not isinstance(control.auto_hint, bool):
        raise wrong(f"{at}.auto_hint", "true or false", control.auto_hint)
    number(f"{at}.weight", control.weight, WEIGHT)
    number(f"{at}.start", control.start, FRACTION)
    number(f"{at}.end", control.end, FRACTION)
    if control.end < control.start:
        raise wrong(f"{at}.end", f"at least {at}.start, which is {control.start:g}", control.end)
    parameters: Any = control.parameters
    if not isinstance(parameters, dict) or len(parameters) > MOST_PARAMETERS:
        raise wrong(f"{at}.parameters", f"an object of at most {MOST_PARAMETERS} numbers by name", parameters)
    for name, value in parameters.items():
        identifier(f"{at}.parameters", name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise wrong(f"{at}.parameters.{name}", "a number", value)
