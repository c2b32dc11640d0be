"""The canonical request, which every dialect is translated to; limits are in families/limits.py."""

import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from controlmesh.v1 import types_pb2
from families.limits import (
    CLIP_SKIP,
    DEFAULT_END,
    DEFAULT_GUIDANCE,
    DEFAULT_REPAINTING,
    DEFAULT_STEPS,
    DEFAULT_STRENGTH,
    DEFAULT_WEIGHT,
    FRACTION,
    GUIDANCE,
    HINT_CHARACTERS,
    MOST_CONTROLS,
    ORIGINAL_SIDE,
    PREVIEW_EVERY,
    SAMPLES,
    SEED,
    SIDE,
    STEPS,
    STRENGTH,
    TRUE_GUIDANCE,
    WEIGHT,
)
from gateway.generation.checks import (
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
from gateway.generation.declared import asked, check_fields, nested, picture
from mesh.channels import MAX_MESSAGE_BYTES
from mesh.errors import InvalidInput
from mesh.quantities import sized

FORMATS: dict[str, types_pb2.ImageFormat.ValueType] = {
    "png": types_pb2.IMAGE_FORMAT_PNG,
    "jpeg": types_pb2.IMAGE_FORMAT_JPEG,
    "webp": types_pb2.IMAGE_FORMAT_WEBP,
}

MOST_PICTURE_BYTES = MAX_MESSAGE_BYTES - 1024 * 1024
"""Maximum total size of a request's pictures: they are sent in one message, together with the text."""
PICTURE_WORDS = "PNG, JPEG or WebP as base64, data URL, http(s) URL or `asset:ID` of a stored file; at most 16 MiB."
_ORIGINAL_WORDS = (
    "Pixels that the picture is to look as if it had before it was scaled, for models that read sizes (SDXL); left "
    "out: its own. Other models refuse it."
)
_CROP_WORDS = "Pixels that it is to look as if they were cut off there, as `original_width`; left out: 0."
_SIDE_WORDS = "Pixels; left out: as `image`, else as the first control's picture."


class Task(StrEnum):
    """What to make of a generation: its pictures, or its only control's hint, as a PNG."""

    PICTURES = "pictures"
    HINT = "hint"


@dataclass(frozen=True)
class Control:
    """A control: a picture, or text, that steers the generation.

    Pictures are encoded files whose headers have been checked. preprocess_svc checks the extractor; the catalogue
    refuses a mask for a kind that reads none.
    """

    kind: str = asked(identifier, "Control kind; GET /controlmesh/v1/controls lists them.", examples=("canny",))
    image: bytes | None = picture(f"{PICTURE_WORDS} Left out: the request's `image`, or none with `text`.")
    auto_hint: bool = asked(flag, "Extract the hint; false: the image is the hint.", True)
    weight: float = asked(number(WEIGHT), "Conditioning scale; 1 is the trained strength.", DEFAULT_WEIGHT)
    start: float = asked(number(FRACTION), "Fraction of the steps at which the control starts.", 0.0)
    end: float = asked(number(FRACTION), "Fraction of the steps at which the control ends.", DEFAULT_END)
    parameters: dict[str, float] = asked(parameters, "The extractor's parameters, by name.", dict)
    mask: bytes | None = picture(
        "A picture, as `image`, whose white marks what to repaint; only for kinds that read a mask. Left out: the "
        "request's `mask`."
    )
    extractor: str | None = asked(
        optional(identifier),
        "Extractor that makes the hint; GET /controlmesh/v1/controls lists each kind's. Left out: the first "
        "that is available and no stand-in.",
        None,
        examples=("canny",),
    )
    text: str | None = asked(
        optional(words(HINT_CHARACTERS)),
        "Text to make the hint from instead of a picture, for kinds with an extractor that reads text.",
        None,
        examples=("https://example.org",),
    )


@dataclass(frozen=True)
class Generation:
    """The canonical request for pictures, independent of the dialect.

    Pictures are encoded files whose headers have been checked. b"" stands for one that was sent but is not loaded: not
    read yet, or no longer kept.

    Raises:
        InvalidInput: naming the field, its range and what was sent.
    """

    prompt: str = asked(
        text,
        "What the picture should show; required except in guess mode. (words), (words:1.3) and [words] weight them.",
    )
    model: str | None = asked(optional(identifier), "Name of a loaded model; left out: the default model.", None)
    negative_prompt: str = asked(text, "What the picture should not show.", "")
    controls: tuple[Control, ...] = nested(Control, MOST_CONTROLS, "The controls that steer the picture.")
    width: int | None = asked(optional(whole(SIDE)), _SIDE_WORDS, None)
    height: int | None = asked(optional(whole(SIDE)), _SIDE_WORDS, None)
    steps: int | None = asked(
        optional(whole(STEPS)), f"Denoising steps; left out: the model's default, else {DEFAULT_STEPS}.", None
    )
    guidance_scale: float | None = asked(
        optional(number(GUIDANCE)),
        f"Scale of classifier-free guidance; 1 is none; left out: the model's default, else {DEFAULT_GUIDANCE:g}.",
        None,
    )
    true_guidance_scale: float | None = asked(
        optional(number(TRUE_GUIDANCE)),
        "Classifier-free guidance by a second prediction, for models whose `guidance_scale` is an input of the model; "
        "left out: none. Models that have no use for it refuse it.",
        None,
    )
    # Compared with the known ones, however it is spelled: other programs' names have blanks and plus signs.
    scheduler: str | None = asked(optional(label), "Name of a scheduler; left out: the model's default.", None)
    seed: int | None = asked(optional(whole(SEED)), "Seed of the first picture; left out: random, and returned.", None)
    samples: int = asked(whole(SAMPLES), "Number of pictures; their seeds count up from `seed`.", 1)
    format: str = asked(one_of(tuple(FORMATS)), "File format of the pictures.", "png")
    clip_skip: int = asked(whole(CLIP_SKIP), "Last layers of the text encoder to skip.", 0)
    image: bytes | None = picture(f"The picture to start from: {PICTURE_WORDS}")
    mask: bytes | None = picture(
        "A picture, as `image`, whose white marks what to repaint of `image`; left out: all of it."
    )
    strength: float | None = asked(
        optional(number(STRENGTH)),
        f"How much of `image` to change; left out: {DEFAULT_STRENGTH:g}, "
        f"and {DEFAULT_REPAINTING:g} for models that need a mask.",
        None,
    )
    guess_mode: bool = asked(flag, "Guess mode: the controls lead, and the prompt may be left out.", False)
    use_karras_sigmas: bool | None = asked(
        optional(flag),
        "Space the noise levels as Karras et al. (2022); left out: as the model's configuration says.",
        None,
    )
    algorithm_type: str | None = asked(
        optional(label),
        "Solver variant; GET /controlmesh/v1/schedulers lists them; left out: the scheduler's own.",
        None,
        examples=("sde-dpmsolver++",),
    )
    prompt_weighting: bool = asked(
        flag, "Apply weights in the prompt and support long prompts; false: use the text as it is.", True
    )
    enhance_prompt: bool = asked(flag, "Append words for quality to the prompt.", False)
    enhance_style: str | None = asked(
        optional(label), "Style whose words are added to the prompts; GET /controlmesh/v1/styles lists them.", None
    )
    preview_every: int = asked(whole(PREVIEW_EVERY), "Model calls between previews in the events; 0: no previews.", 0)
    keep_unmasked: bool = asked(
        flag, "Keep the unmasked area of `image` pixel for pixel; false: as the VAE decodes it.", False
    )

    original_width: int | None = asked(optional(whole(ORIGINAL_SIDE)), _ORIGINAL_WORDS, None)
    original_height: int | None = asked(optional(whole(ORIGINAL_SIDE)), _ORIGINAL_WORDS, None)
    crop_left: int | None = asked(optional(whole(ORIGINAL_SIDE)), _CROP_WORDS, None)
    crop_top: int | None = asked(optional(whole(ORIGINAL_SIDE)), _CROP_WORDS, None)

    def __post_init__(self) -> None:
        check_fields(self)
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
        if self.guess_mode and not self.controls:
            raise InvalidInput("guess_mode needs at least one control to lead, and none was sent", field="guess_mode")
        size = sum(len(content) for content in self._pictures())
        if size > MOST_PICTURE_BYTES:
            raise InvalidInput(
                f"controls have {sized(size)} of pictures in total; at most {sized(MOST_PICTURE_BYTES)} are allowed. "
                "A picture that several controls use counts once for each of them",
                field="controls",
            )

    def picture_of(self, control: Control) -> bytes | None:
        """The picture of `control`, one of this request's: its own, or the initial one; None if it has text."""
        if control.text is not None:
            return None
        return control.image if control.image is not None else self.image or b""

    def seeds(self) -> list[int]:
        """Seed of each picture, counting up from `seed` and wrapping around within the range of the field."""
        first = self.seed if self.seed is not None else 0
        return [(first + index) % (int(SEED.maximum) + 1) for index in range(self.samples)]

    @property
    def planned_steps(self) -> int:
        """Denoising steps of one picture: its own, else the mesh's default."""
        return self.steps or DEFAULT_STEPS

    def settled(self, steps: int | None = None, guidance_scale: float | None = None) -> "Generation":
        """The request with steps and guidance: its own, else these, else the mesh's defaults."""
        return replace(
            self,
            steps=_first(self.steps, steps, DEFAULT_STEPS),
            guidance_scale=_first(self.guidance_scale, guidance_scale, DEFAULT_GUIDANCE),
        )

    def with_seed(self) -> "Generation":
        """The request with a seed: its own, or a random one."""
        return self if self.seed is not None else replace(self, seed=secrets.randbelow(int(SEED.maximum) + 1))

    def _pictures(self) -> list[bytes]:
        """All pictures that are sent to preprocess_svc."""
        masks = (self.mask, *(control.mask for control in self.controls))
        return [picture for picture in (*map(self.picture_of, self.controls), *masks) if picture]


def without_prompt(sent: str = "") -> InvalidInput:
    """The error for a request that needs a prompt and has none, or has `sent`, which mesh.prompt_tags calls empty."""
    lacks = "has no words, for tags and blanks are none" if sent else "is missing"
    return InvalidInput(
        f"prompt {lacks}; describe the picture, or let the controls lead with guess_mode true", field="prompt"
    )


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _check_control(at: str, control: Control, initial: bytes | None) -> None:
    check_fields(control, f"{at}.")
    if control.end < control.start:
        raise wrong(f"{at}.end", f"at least {at}.start, which is {control.start:g}", control.end)
    check_source(f"{at}.", control, "an initial picture (`image`) for the control to use", initial)


def check_source(at: str, control: Control, otherwise: str, initial: bytes | None = None) -> None:
    """Check that a control's hint has exactly one source: its picture or text, or the initial picture.

    Args:
        at: what the control's fields' names begin with in errors.
        control: with checked fields.
        otherwise: what may be sent in place of a picture, for the error.
        initial: the initial picture; None if there is none.

    Raises:
        InvalidInput: both were sent, or neither.
    """
    if control.text is not None and control.image is not None:
        raise InvalidInput(f"{at}text and {at}image can't both make the hint; leave one of them out", field=f"{at}text")
    if control.text is None and control.image is None and initial is None:
        raise InvalidInput(f"{at}image is missing; send a picture there, or {otherwise}", field=f"{at}image")


def check_task(task: Task, generation: Generation) -> None:
    """Check that `task` is possible with `generation`.

    Raises:
        InvalidInput: a hint was requested without exactly one control, or with another format or number of pictures.
    """
    if task == Task.HINT and (len(generation.controls), generation.samples, generation.format) != (1, 1, "png"):
        raise InvalidInput("a hint needs exactly one control, samples 1 and format png", field="controls")
