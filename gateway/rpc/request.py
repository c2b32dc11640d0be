"""Requests of GenerationService as they are read."""

from typing import Any

from controlmesh.v1 import generation_pb2, types_pb2
from gateway.generation.generation import FORMATS, Control, Generation
from mesh.errors import InvalidInput
from mesh.pictures import check

_FORMAT_NAMES = {number: name for name, number in FORMATS.items()}
# Absent means the default, which is another than the type's zero.
_OPTIONAL = (
    "width",
    "height",
    "steps",
    "guidance_scale",
    "seed",
    "samples",
    "clip_skip",
    "strength",
    "use_karras_sigmas",
    "prompt_weighting",
)
# Empty means none.
_NAMES = ("model", "scheduler", "algorithm_type", "enhance_style")
_PLAIN = ("prompt", "negative_prompt", "guess_mode", "enhance_prompt", "preview_every", "keep_unmasked")
_PICTURES = ("image", "mask")
_OPTIONAL_OF_CONTROL = ("auto_hint", "weight", "end")
_NAMES_OF_CONTROL = ("extractor", "text")


def generation_of(request: generation_pb2.GenerateRequest) -> Generation:
    """The canonical request.

    Raises:
        InvalidInput: naming the field.
    """
    given = {name: getattr(request, name) for name in _OPTIONAL if request.HasField(name)}  # type: ignore[arg-type]
    if request.format:
        given["format"] = _format(request.format)
    return Generation(
        controls=tuple(_control(index, control) for index, control in enumerate(request.controls)),
        **{name: getattr(request, name) for name in _PLAIN},
        **{name: getattr(request, name) for name in _NAMES if getattr(request, name)},
        **_pictures(request),
        **given,
    )


def _format(number: int) -> str:
    if number not in _FORMAT_NAMES:
        raise InvalidInput(f"format {number} is unknown", field="format")
    return _FORMAT_NAMES[number]  # type: ignore[index]


def _control(index: int, control: types_pb2.Control) -> Control:
    given = {name: getattr(control, name) for name in _OPTIONAL_OF_CONTROL if control.HasField(name)}  # type: ignore[arg-type]
    return Control(
        kind=control.kind,
        start=control.start,
        parameters=dict(control.parameters),
        **{name: getattr(control, name) for name in _NAMES_OF_CONTROL if getattr(control, name)},
        **_pictures(control, f"controls[{index}]."),
        **given,
    )


def _pictures(message: generation_pb2.GenerateRequest | types_pb2.Control, at: str = "") -> dict[str, Any]:
    """The pictures that `message` has, their headers checked."""
    found = {}
    for name in _PICTURES:
        if message.HasField(name):  # type: ignore[arg-type]
            found[name] = getattr(message, name).content
            check(found[name], field=f"{at}{name}")
    return found
