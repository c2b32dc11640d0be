"""Checks of what Prepare is asked, against the model."""

from controlmesh.v1 import preprocess_pb2
from families.limits import MOST_CONTROLS, ORIGINAL_SIDE, PROMPT_CHARACTERS
from families.manifest import Manifest
from mesh.errors import InvalidInput
from preprocess_svc.hints import find_control


def check_prompts(request: preprocess_pb2.PrepareRequest) -> None:
    """Raise InvalidInput for a prompt that is too long."""
    for field, text in (("prompt", request.prompt), ("negative_prompt", request.negative_prompt)):
        if len(text) > PROMPT_CHARACTERS:
            raise InvalidInput(
                f"{field} has {len(text)} characters; at most {PROMPT_CHARACTERS} are allowed", field=field
            )


def check_sizes(request: preprocess_pb2.PrepareRequest, model: Manifest) -> None:
    """Raise InvalidInput for sizes of an original that the model does not read, or that are out of range."""
    for field in ("original_width", "original_height", "crop_left", "crop_top"):
        pixels = getattr(request, field)
        if pixels and (model.vector is None or not model.vector.sizes):
            raise InvalidInput(f"{field} is not supported by model {model.name!r}: remove it", field=field)
        if not ORIGINAL_SIDE.holds(pixels):
            raise InvalidInput(f"{field} must be {ORIGINAL_SIDE}, not {pixels}", field=field)


def check_controls(request: preprocess_pb2.PrepareRequest, model: Manifest) -> None:
    """Raise InvalidInput for too many controls, or one that the model has no ControlNet for."""
    if len(request.controls) > MOST_CONTROLS:
        raise InvalidInput(
            f"at most {MOST_CONTROLS} controls are allowed, not {len(request.controls)}", field="controls"
        )
    for index, control in enumerate(request.controls):
        at = f"controls[{index}].kind"
        find_control(model.takes(control.kind), at)
        if control.kind not in model.controls:
            known = ", ".join(model.controls) or "none"
            raise InvalidInput(
                f"model {model.name!r} has no ControlNet for {control.kind!r}; it has: {known}", field=at
            )
