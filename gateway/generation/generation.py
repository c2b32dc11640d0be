"""The one canonical request, checked against the limits of families/limits.py; every field stands here, once."""

import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from controlmesh.v1 import types_pb2
from families.limits import (
    CLIP_SKIP,
    DEFAULT_END,
    DEFAULT_STRENGTH,
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
from gateway.generation.declared import asked, check_fields, nested, picture, pictures_of
from mesh.channels import MAX_MESSAGE_BYTES
from mesh.errors import InvalidInput

FORMATS: dict[str, types_pb2.ImageFormat.ValueType] = {
    "png": types_pb2.IMAGE_FORMAT_PNG,
    "jpeg": types_pb2.IMAGE_FORMAT_JPEG,
    "webp": types_pb2.IMAGE_FORMAT_WEBP,
}

MOST_PICTURE_BYTES = MAX_MESSAGE_BYTES - 1024 * 1024
"""Of all pictures of a request: they travel in one message, which has room for words besides."""
PICTURE_WORDS = "PNG, JPEG or WebP as base64, data URL, http(s) URL or `asset:ID` of a file kept here; at most 16 MiB."
_SIDE_WORDS = "Pixels; left out: as `image`, else as the first control's picture."


class Task(StrEnum):
    """What is wanted of a generation: its pictures, or its only control's hint, as a PNG."""

    PICTURES = "pictures"
    HINT = "hint"


@dataclass(frozen=True)
class Control:
    """One picture that steers the generation.

    Pictures are encoded files whose headers have been checked. Which extractors a kind has is preprocess_svc's to
    judge; that a kind which reads no mask gets one is refused by the catalogue.
    """

    kind: str = asked(identifier, "Control kind; GET /controlmesh/v1/controls lists them.", examples=("canny",))
    image: bytes | None = picture(f"{PICTURE_WORDS} Left out: the request's `image`, or none beside `text`.")
    auto_hint: bool = asked(flag, "Extract the hint; false: the image is the hint.", True)
    weight: float = asked(number(WEIGHT), "Conditioning scale; 1 is the trained strength.", DEFAULT_WEIGHT)
    start: float = asked(number(FRACTION), "Fraction of the steps at which the control begins.", 0.0)
    end: float = asked(number(FRACTION), "Fraction of the steps at which the control ends.", DEFAULT_END)
    parameters: dict[str, float] = asked(parameters, "Of the extractor, by name.", dict)
    mask: bytes | None = picture(
        "A picture, as `image`, whose white marks what to repaint; only for kinds that read a mask. Left out: the "
        "request's `mask`."
    )
    extractor: str | None = asked(
        optional(identifier),
        "Which of the kind's extractors makes the hint; GET /controlmesh/v1/controls lists them. Left out: the first "
        "that is available and no stand-in.",
        None,
        examples=("canny",),
    )
    text: str | None = asked(
        optional(words(HINT_CHARACTERS)),
        "Words to make the hint from in place of a picture, for kinds with an extractor that reads text.",
        None,
        examples=("https://example.org",),
    )


@dataclass(frozen=True)
class Generation:
    """What a caller wants, whatever dialect it came in.

    Pictures are encoded files whose headers have been checked. b"" stands for one that was sent and is not at hand: not
    read yet, or not kept.

    Raises:
        InvalidInput: naming the field, its range and what was sent.
    """

    prompt: str = asked(
        text, "What the picture should show; required but in guess mode. (words), (words:1.3) and [words] weigh."
    )
    model: str | None = asked(optional(identifier), "Name of a loaded model; left out: the default one.", None)
    negative_prompt: str = asked(text, "What it should not show.", "")
    controls: tuple[Control, ...] = nested(Control, MOST_CONTROLS, "What steers the picture.")
    width: int | None = asked(optional(whole(SIDE)), _SIDE_WORDS, None)
    height: int | None = asked(optional(whole(SIDE)), _SIDE_WORDS, None)
    steps: int = asked(whole(STEPS), "Denoising steps.", 20)
    guidance_scale: float = asked(number(GUIDANCE), "Classifier-free guidance; 1 is none.", 7.5)
    true_guidance_scale: float | None = asked(
        optional(number(TRUE_GUIDANCE)),
        "Classifier-free guidance by a second prediction, for models whose `guidance_scale` is an input of the model; "
        "left out: none. Models that have no use for it refuse it.",
        None,
    )
    scheduler: str | None = asked(optional(identifier), "Name of a scheduler; left out: the model's own.", None)
    seed: int | None = asked(optional(whole(SEED)), "Of the first picture; left out: random, and reported.", None)
    samples: int = asked(whole(SAMPLES), "Number of pictures; their seeds count up.", 1)
    format: str = asked(one_of(tuple(FORMATS)), "Of the pictures.", "png")
    clip_skip: int = asked(whole(CLIP_SKIP), "Last layers of the text encoder to skip.", 0)
    image: bytes | None = picture(f"The picture to start from: {PICTURE_WORDS}")
    mask: bytes | None = picture(
        "A picture, as `image`, whose white marks what to repaint of `image`; left out: all of it."
    )
    strength: float | None = asked(
        optional(number(STRENGTH)), f"How much of `image` to change; left out: {DEFAULT_STRENGTH:g}.", None
    )
    guess_mode: bool = asked(flag, "The controls lead, the prompt may be left out.", False)
    use_karras_sigmas: bool | None = asked(
        optional(flag),
        "Space the noise levels as Karras et al. (2022); left out: as the model's configuration says.",
        None,
    )
    algorithm_type: str | None = asked(
        optional(label),
        "Variant of the solver; GET /controlmesh/v1/schedulers lists them; left out: the scheduler's own.",
        None,
        examples=("sde-dpmsolver++",),
    )
    prompt_weighting: bool = asked(flag, "Read weights and long prompts; false: the words as they stand.", True)
    enhance_prompt: bool = asked(flag, "Append words of quality to the prompt.", False)
    enhance_style: str | None = asked(
        optional(label), "Style whose words are put around the prompts; GET /controlmesh/v1/styles lists them.", None
    )
    preview_every: int = asked(
        whole(PREVIEW_EVERY), "Model calls from one preview among the events to the next; 0: none.", 0
    )
    keep_unmasked: bool = asked(
        flag, "Leave what `mask` keeps as it is in `image`, to the pixel; false: as the VAE gives it back.", False
    )

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
        controls = tuple(replace(control, **_forgotten(control)) for control in self.controls)
        return replace(self, controls=controls, **_forgotten(self))

    def _pictures(self) -> list[bytes]:
        """All that travels to preprocess_svc."""
        masks = (self.mask, *(control.mask for control in self.controls))
        return [picture for picture in (*map(self.picture_of, self.controls), *masks) if picture]


def _check_control(at: str, control: Control, initial: bytes | None) -> None:
    check_fields(control, f"{at}.")
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


def _forgotten(holder: Generation | Control) -> dict[str, Any]:
    return {name: None if getattr(holder, name) is None else b"" for name in pictures_of(holder)}


def check_task(task: Task, generation: Generation) -> None:
    """Whether `task` can be done with `generation`.

    Raises:
        InvalidInput: a hint is wanted and there is not exactly one control, or another format or number of pictures.
    """
    if task == Task.HINT and (len(generation.controls), generation.samples, generation.format) != (1, 1, "png"):
        raise InvalidInput("a hint alone is one control's, as a png", field="controls")
