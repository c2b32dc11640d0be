"""Fields of the Hugging Face dialect's body and query: the handler's, and arguments of diffusers' pipelines by name."""

from collections.abc import Mapping

from families.limits import CLIP_SKIP, FRACTION, GUIDANCE, SEED, SIDE, STEPS, STRENGTH, WEIGHT
from gateway.dialects.common.declared import Decides, Field, Table, Type, sets
from gateway.dialects.common.reader import Phrases
from gateway.generation.checks import shown
from mesh.errors import InvalidInput

STEPS_DEFAULT = 30
GUIDANCE_DEFAULT = 7.5
# The published handler used one random generator with this seed for all calls; here every call starts with it.
SEED_DEFAULT = 3
CONTROL_TYPE = "normal"

PARAMETERS = (
    Field("negative_prompt", Type.TEXT, sets("negative_prompt")),
    Field("num_inference_steps", Type.WHOLE, sets("steps"), limits=STEPS, default=STEPS_DEFAULT),
    Field(
        "guidance_scale",
        Type.NUMBER,
        sets("guidance_scale"),
        limits=GUIDANCE,
        note=f"{GUIDANCE_DEFAULT:g}; values below 1 count as 1: no guidance",
    ),
    Field("height", Type.WHOLE, sets("height"), limits=SIDE, note="the model's own"),
    Field("width", Type.WHOLE, sets("width"), limits=SIDE, note="the model's own"),
    Field("seed", Type.WHOLE, sets("seed"), limits=SEED, default=SEED_DEFAULT),
    Field("scheduler", Type.TEXT, sets("scheduler"), note="the model's own"),
    Field("guess_mode", Type.FLAG, sets("guess_mode"), default=False),
    Field("clip_skip", Type.WHOLE, sets("clip_skip"), limits=CLIP_SKIP, default=0),
)
"""Fields that are passed on as sent; the canonical request checks them."""
CONTROL_PARAMETERS = (
    Field("controlnet_conditioning_scale", Type.NUMBER, sets("controls.weight"), limits=WEIGHT, default=1.0),
    Field("control_guidance_start", Type.NUMBER, sets("controls.start"), limits=FRACTION, default=0.0),
    Field("control_guidance_end", Type.NUMBER, sets("controls.end"), limits=FRACTION, default=1.0),
)
"""The same of the control."""

FIELDS: Mapping[str, Table] = {
    "predict": Table(
        Field("inputs", Type.TEXT, sets("prompt"), required=True, note="or the picture, with the prompt in `prompt`"),
        Field("prompt", Type.TEXT, sets("prompt"), note="beside a picture in `inputs`, or in the query"),
        Field("parameters", Type.OBJECT, Decides("the other fields are looked up here first")),
        Field(
            "image",
            Type.PICTURE,
            sets("controls.image", "image"),
            note="control picture; with control_image, the initial picture",
        ),
        Field("control_image", Type.PICTURE, sets("controls.image"), note="required with mask_image"),
        Field("mask_image", Type.PICTURE, sets("mask")),
        Field("controlnet_type", Type.TEXT, sets("controls.kind"), default=CONTROL_TYPE),
        *PARAMETERS,
        *CONTROL_PARAMETERS,
        Field("strength", Type.NUMBER, sets("strength"), limits=STRENGTH, note="with control_image"),
        Field("target_size", Type.OBJECT, sets("width", "height"), note="its width and height take precedence"),
    )
}
"""The only body; its fields may be at the top level, in `parameters` or in the query."""


def wrong(name: str, expected: str, value: object) -> InvalidInput:
    """The error for an invalid value: what `name` must be, and what was sent."""
    return InvalidInput(f"{name} must be {expected}, not {shown(value)}", field=name)


def missing(name: str) -> InvalidInput:
    """The error for a required field that was not sent."""
    return InvalidInput(f"Body needs to provide a {name} key", field=name)


PHRASES = Phrases(wrong=wrong, missing=missing, empty=missing)
