"""The one canonical request, checked against the limits of families/limits.py; every default stands here."""

import secrets
from dataclasses import dataclass, field, replace

from controlmesh.v1 import types_pb2
from families.limits import (
    CLIP_SKIP,
    DEFAULT_END,
    DEFAULT_WEIGHT,
    FRACTION,
    GUIDANCE,
    HINT_CHARACTERS,
    MOST_CONTROLS,
    PREVIEW_EVERY,
    SAMPLES,
    SEED,
    SIDE,
    STEPS,
    STRENGTH,
    WEIGHT,
)
from gateway.generation.checks import (
    Check,
    flag,
    identifier,
    label,
    number,
    one_of,
    optional,
    parameters,
    text,
    whole,
    words,
    wrong,
)
from mesh.channels import MAX_MESSAGE_BYTES
from mesh.errors import InvalidInput

FORMATS: dict[str, types_pb2.ImageFormat.ValueType] = {
    "png": types_pb2.IMAGE_FORMAT_PNG,
    "jpeg": types_pb2.IMAGE_FORMAT_JPEG,
    "webp": types_pb2.IMAGE_FORMAT_WEBP,
}

MOST_PICTURE_BYTES = MAX_MESSAGE_BYTES - 1024 * 1024
"""Of all pictures of a request: they travel in one message, which has room for words besides."""


@dataclass(frozen=True)
class Control:
    """One picture that steers the generation.

    Attributes:
        kind: control kind such as "canny".
        image: the encoded picture, whose header has been checked; None takes the request's `image`, unless there is
            `text`.
        auto_hint: True extracts the hint from `image`, False takes `image` as the hint.
        weight: conditioning scale.
        start: fraction of the steps at which the control begins.
        end: fraction of the steps at which it ends, not before `start`.
        parameters: of the extractor, by name.
        mask: encoded picture whose white marks what to repaint, for kinds that read one (the catalogue refuses it for
            others); None takes the request's.
        extractor: which of the kind's extractors makes the hint; None takes the usual one. preprocess_svc judges it.
        text: words that the hint is made from in place of a picture, for kinds that can; None for none.
    """

    kind: str
    image: bytes | None = field(default=None, repr=False)
    auto_hint: bool = True
    weight: float = DEFAULT_WEIGHT
    start: float = 0.0
    end: float = DEFAULT_END
    parameters: dict[str, float] = field(default_factory=dict)
    mask: bytes | None = field(default=None, repr=False)
    extractor: str | None = None
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Generation:
    """What a caller wants, whatever dialect it came in.

    Pictures are encoded files whose headers have been checked. b"" stands for one that was sent and is not at hand: not
    read yet, or not kept.

    Attributes:
        prompt: what the picture should show; may be empty.
        negative_prompt: what it should not show.
        model: name of a loaded model; None takes the default one.
        controls: what steers the picture.
        width, height: pixels; None leaves the size to `image`, else to the first control's picture, else to the model.
        steps: denoising steps.
        guidance_scale: classifier-free guidance; 1 is none.
        scheduler: name of a scheduler; None takes the model's own.
        seed: of the first picture; None is random, and reported.
        samples: number of pictures.
        format: of the pictures, a key of FORMATS.
        clip_skip: last layers of the text encoder to skip.
        image: encoded picture to start from; None starts from noise.
        mask: encoded picture whose white marks what to repaint of `image`; None changes all of it. Without `image` it
            is refused: a control that reads a mask has a mask of its own for that case.
        strength: how much of `image` is changed; None takes DEFAULT_STRENGTH. Without `image` it is refused.
        guess_mode: the hints lead, the prompt may be empty; refused without controls.
        use_karras_sigmas: spacing of the noise levels; None as the model's own configuration says.
        algorithm_type: variant of the solver; None takes the scheduler's own.
        prompt_weighting: read weights and long prompts; False takes the words as they stand.
        enhance_prompt: append words of quality.
        enhance_style: name of a style whose words are put around the prompts.
        preview_every: model calls from one preview to the next; 0 for none.
        keep_unmasked: leave what the mask keeps as it is in `image`, to the pixel; False leaves it as the VAE gives it
            back. Without `mask` it is refused.
        hints_only: the only control's hint is what is wanted, as a PNG, and no picture is made of it.

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
    keep_unmasked: bool = False
    hints_only: bool = False

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            check(name, getattr(self, name))
        if len(self.controls) > MOST_CONTROLS:
            raise InvalidInput(
                f"controls has {len(self.controls)} entries; at most {MOST_CONTROLS} are taken", field="controls"
            )
        for index, control in enumerate(self.controls):
            _check_control(f"controls[{index}]", control, self.image)
        if self.image is None:
            for name in ("strength", "mask"):
                if getattr(self, name) is not None:
                    raise InvalidInput(f"{name} needs an initial picture (`image`), and none was sent", field=name)
        if self.keep_unmasked and self.mask is None:
            raise InvalidInput("keep_unmasked needs a mask (`mask`), and none was sent", field="keep_unmasked")
        if self.hints_only and (len(self.controls) != 1 or self.samples != 1 or self.format != "png"):
            raise InvalidInput("a hint alone is one control's, as a png", field="controls")
        if self.guess_mode and not self.controls:
            raise InvalidInput("guess_mode needs at least one control to lead, and none was sent", field="guess_mode")
        size = sum(len(content) for content in self._pictures())
        if size > MOST_PICTURE_BYTES:
            raise InvalidInput(
                f"controls have {size} bytes of pictures in all; at most {MOST_PICTURE_BYTES} are taken, and a picture "
                "that several of them share counts once for each",
                field="controls",
            )

    def picture_of(self, control: Control) -> bytes | None:
        """The picture that `control`, one of this request's, takes: its own or the initial one; None beside words."""
        if control.text is not None:
            return None
        return control.image if control.image is not None else self.image or b""

    def seeds(self) -> list[int]:
        """Seed of each picture, counting up from `seed`, within the range that a caller can send back."""
        first = self.seed if self.seed is not None else 0
        return [(first + index) % (int(SEED.maximum) + 1) for index in range(self.samples)]

    def with_seed(self) -> "Generation":
        """Itself, or with a random seed where none was given."""
        return self if self.seed is not None else replace(self, seed=secrets.randbelow(int(SEED.maximum) + 1))

    def without_pictures(self) -> "Generation":
        """The same without the bytes of any picture, to be remembered."""
        controls = tuple(
            replace(control, image=_forgotten(control.image), mask=_forgotten(control.mask))
            for control in self.controls
        )
        return replace(self, controls=controls, image=_forgotten(self.image), mask=_forgotten(self.mask))

    def _pictures(self) -> list[bytes]:
        """All that travels to preprocess_svc."""
        masks = (self.mask, *(control.mask for control in self.controls))
        return [picture for picture in (*map(self.picture_of, self.controls), *masks) if picture]


_CHECKS: dict[str, Check] = {
    "prompt": text,
    "negative_prompt": text,
    "model": optional(identifier),
    "width": optional(whole(SIDE)),
    "height": optional(whole(SIDE)),
    "steps": whole(STEPS),
    "guidance_scale": number(GUIDANCE),
    "scheduler": optional(identifier),
    "seed": optional(whole(SEED)),
    "samples": whole(SAMPLES),
    "format": one_of(FORMATS, ", ".join(FORMATS)),
    "clip_skip": whole(CLIP_SKIP),
    "strength": optional(number(STRENGTH)),
    "guess_mode": flag,
    "use_karras_sigmas": optional(flag),
    "algorithm_type": optional(label),
    "prompt_weighting": flag,
    "enhance_prompt": flag,
    "enhance_style": optional(label),
    "preview_every": whole(PREVIEW_EVERY),
    "keep_unmasked": flag,
    "hints_only": flag,
}
_CONTROL_CHECKS: dict[str, Check] = {
    "kind": identifier,
    "auto_hint": flag,
    "weight": number(WEIGHT),
    "start": number(FRACTION),
    "end": number(FRACTION),
    "parameters": parameters,
    "extractor": optional(identifier),
    "text": optional(words(HINT_CHARACTERS)),
}


def _check_control(at: str, control: Control, initial: bytes | None) -> None:
    for name, check in _CONTROL_CHECKS.items():
        check(f"{at}.{name}", getattr(control, name))
    if control.end < control.start:
        raise wrong(f"{at}.end", f"at least {at}.start, which is {control.start:g}", control.end)
    if control.text is not None:
        if control.image is not None:
            raise InvalidInput(
                f"{at}.text and {at}.image can't both make the hint; leave one of them out", field=f"{at}.text"
            )
    elif control.image is None and initial is None:
        raise InvalidInput(
            f"{at}.image is missing; send a picture there, or an initial picture (`image`) for it to take",
            field=f"{at}.image",
        )


def _forgotten(picture: bytes | None) -> bytes | None:
    return None if picture is None else b""
