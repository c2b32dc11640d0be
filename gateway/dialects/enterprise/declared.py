"""The fields of the enterprise dialect's bodies, one table per function.

Source: the vendor's public documentation of its endpoints, 2023 to 2026. Where versions disagree, the more tolerant one
is used.
"""

from collections.abc import Mapping

from families.limits import CLIP_SKIP, FRACTION, GUIDANCE, SAMPLES, SEED, SIDE, STRENGTH, WEIGHT, Range
from gateway.dialects.common.declared import Decides, Field, NoEffect, Table, Type, sets
from gateway.dialects.enterprise.paths import PATHS

SIZE = 512
GUIDANCE_DEFAULT = 7.5
# The vendor allows fewer steps than the mesh.
STEPS = Range(1, 50)
# The vendor counts layers from the end, the mesh counts skipped layers.
COUNTED_FROM = 1
CLIP_SKIP_COUNTED = Range(CLIP_SKIP.minimum + COUNTED_FROM, CLIP_SKIP.maximum)

_KEY = Field("key", Type.TEXT, Decides("whose request it is"), note="or a header, if the deployment requires a key")
_WEBHOOK = Field("webhook", Type.TEXT, sets("webhook"))
_REQUEST_ID = Field("request_id", Type.WHOLE, Decides("which request is meant"), required=True)
_CONTROLNET_TYPE = Field(
    "controlnet_type",
    Type.WORDS,
    sets("controls.kind"),
    spellings=("type",),
    note="if controlnet_model is missing or is not a kind of control",
)


def _text(name: str, remark: str, unless: tuple[str, ...] = ()) -> Field:
    return Field(name, Type.TEXT, NoEffect(remark, unless))


def _flag(name: str, remark: str, default: bool = False) -> Field:
    return Field(name, Type.FLAG, NoEffect(remark), default=default)


ABSENT: tuple[Field, ...] = (
    _flag("tomesd", "tomesd has no effect here.", default=True),
    _text("vae", "vae was not applied: the model's own was used."),
    Field("lora_model", Type.WORDS, NoEffect("lora_model was not applied: LoRAs are not available.")),
    _text("embeddings_model", "embeddings_model was not applied: textual inversions are not available."),
    _text("embeddings", "embeddings was not applied: textual inversions are not available."),
    _flag("safety_checker", "safety_checker is not available; the pictures were not checked."),
    _flag("multi_lingual", "multi_lingual is not available; the prompt was used as sent."),
    _text("ip_adapter_id", "ip_adapter_id was not applied: IP adapters are not available."),
    Field(
        "ip_adapter_image",
        Type.PICTURE,
        NoEffect("ip_adapter_image was not applied: IP adapters are not available."),
    ),
    _text("upscale", "upscale is not available; the pictures have the requested size.", unless=("1",)),
    _flag("watermark", "watermark is not available; the pictures have none."),
    _flag("panorama", "panorama is not available; an ordinary picture was made."),
    _flag("self_attention", "self_attention is not available; the picture was made without it."),
    _flag("highres_fix", "highres_fix is not available; the picture was made in one pass."),
)
"""Fields of requests for pictures that request unavailable features."""

# Without effect and without a remark: `meta` repeats them.
_REPEATED = (
    Field("safety_checker_type", Type.TEXT, NoEffect(), default="sensitive_content_text"),
    Field("ip_adapter_scale", Type.NUMBER, NoEffect(), limits=FRACTION, default=0.6),
    Field("lora_strength", Type.ANY, NoEffect(), default=1),
)
_SIDE_NOTE = "version 7 may send aspect_ratio instead"
_COMMON = (
    _KEY,
    Field("model_id", Type.TEXT, sets("model"), note="the deployment's default model if nothing is sent"),
    Field("negative_prompt", Type.TEXT, sets("negative_prompt"), default=""),
    Field("width", Type.WHOLE, sets("width"), limits=SIDE, default=SIZE, note=_SIDE_NOTE),
    Field("height", Type.WHOLE, sets("height"), limits=SIDE, default=SIZE, note=_SIDE_NOTE),
    Field("aspect_ratio", Type.TEXT, sets("width", "height"), default="1:1", note="of version 7, without a size"),
    Field(
        "num_inference_steps",
        Type.WHOLE,
        sets("steps"),
        limits=STEPS,
        spellings=("steps",),
        note="21 on the enterprise plan's paths, else 30",
    ),
    Field(
        "guidance_scale",
        Type.NUMBER,
        sets("guidance_scale"),
        limits=GUIDANCE,
        default=GUIDANCE_DEFAULT,
        spellings=("guidance",),
    ),
    Field("scheduler", Type.TEXT, sets("scheduler"), note="UniPCMultistepScheduler, or the model's own"),
    # The vendor's default.
    Field("use_karras_sigmas", Type.FLAG, sets("use_karras_sigmas"), default=True),
    Field("algorithm_type", Type.TEXT, sets("algorithm_type"), note="the scheduler's own"),
    Field("seed", Type.WHOLE, sets("seed"), limits=Range(-1, SEED.maximum), note="a random one; so do numbers below 0"),
    Field("samples", Type.WHOLE, sets("samples"), limits=SAMPLES, default=1),
    Field(
        "clip_skip",
        Type.WHOLE,
        sets("clip_skip"),
        limits=CLIP_SKIP_COUNTED,
        default=1,
        spellings=("clipskip",),
        counted_from=COUNTED_FROM,
    ),
    Field("enhance_prompt", Type.FLAG, sets("enhance_prompt"), default=False),
    Field("enhance_style", Type.TEXT, sets("enhance_style")),
    _WEBHOOK,
    Field("track_id", Type.ANY, Decides("what is repeated in answers and webhooks")),
    Field("instant_response", Type.FLAG, Decides("whether the answer waits for the pictures"), default=False),
    Field("base64", Type.FLAG, Decides("whether the pictures are returned as base64"), default=False),
    Field("temp", Type.FLAG, Decides("whether links expire after a day"), default=False),
    *ABSENT,
    *_REPEATED,
)
_STRENGTH = Field(
    "strength", Type.NUMBER, sets("strength"), limits=STRENGTH, note="0.55 in versions 5, 6 and 7, else 0.7"
)
_PROMPT = Field("prompt", Type.TEXT, sets("prompt"), required=True)
_INIT = Field("init_image", Type.PICTURE, sets("image"), required=True)
_MASK = Field("mask_image", Type.PICTURE, sets("mask", "controls.mask"), required=True)
_CONTROLS = (
    Field("prompt", Type.TEXT, sets("prompt"), required=True, note="not with guess_mode"),
    Field("controlnet_model", Type.WORDS, sets("controls.kind"), required=True, note="or controlnet_type"),
    _CONTROLNET_TYPE,
    Field(
        "controlnet_conditioning_scale",
        Type.NUMBERS,
        sets("controls.weight"),
        limits=WEIGHT,
        default="1.0",
        note="one for all, or one each",
    ),
    Field("auto_hint", Type.FLAG, sets("controls.auto_hint"), default=True),
    Field("guess_mode", Type.FLAG, sets("guess_mode"), default=False),
    Field("qrcode_text", Type.TEXT, sets("controls.text")),
    Field("control_image", Type.PICTURES, sets("controls", "controls.image"), note="or init_image"),
    Field(
        "init_image",
        Type.PICTURE,
        sets("image", "controls.image"),
        note="control picture if there is no control_image; with one, the initial picture",
    ),
    Field("mask_image", Type.PICTURE, sets("mask", "controls.mask"), note="for controls that read one, and init_image"),
    _STRENGTH,
)

STORAGE: Mapping[str, str] = {
    "endpoint": "endpoint_url",
    "access_key": "aws_access_key_id",
    "secret_key": "aws_secret_access_key",
    "public_url": "public_url",
    "directory": "image_directory",
    "region": "region_name",
}
"""Field of the storage options -> the vendor's."""
_MODEL = Field("model_id", Type.TEXT, Decides("which model is meant"), required=True)
_LOAD = (
    Field("url", Type.TEXT, sets("source"), required=True),
    Field("model_id", Type.TEXT, sets("model"), required=True),
    Field(
        "model_type",
        Type.TEXT,
        Decides("whether a model or a ControlNet is loaded"),
        default="huggingface",
        spellings=("model_category",),
    ),
    Field(
        "model_format",
        Type.TEXT,
        Decides("whether it can be loaded"),
        default="diffusers",
        note="safetensors for a single file; a url that ends in .safetensors is one anyway",
    ),
    # Our own field: the vendor's ControlNets do not belong to a model.
    Field("base_model", Type.TEXT, sets("base"), note="of a ControlNet; the deployment's default model"),
    _CONTROLNET_TYPE,
    _WEBHOOK,
    Field("revision", Type.TEXT, NoEffect("revision was not applied: graphs are exported as fp32."), default="fp32"),
    _flag("upcast_attention", "upcast_attention has no effect here."),
)
_FUNCTIONS: Mapping[str, tuple[Field, ...]] = {
    "controlnet": (*_CONTROLS, *_COMMON),
    "text2img": (
        _PROMPT,
        # Read and checked as in the related functions, although it has no effect.
        Field("strength", Type.NUMBER, NoEffect(), limits=STRENGTH),
        *_COMMON,
    ),
    "img2img": (
        _PROMPT,
        _INIT,
        Field(
            "mask_image",
            Type.PICTURE,
            NoEffect("mask_image was not used: send the request to the path for inpainting."),
        ),
        _STRENGTH,
        *_COMMON,
    ),
    "inpaint": (_PROMPT, _INIT, _MASK, _STRENGTH, *_COMMON),
    "fetch": (
        _KEY,
        Field(
            "request_id",
            Type.WHOLE,
            Decides("which request is meant"),
            spellings=("id",),
            note="or the path's last part",
        ),
    ),
    "upload_image": (
        _KEY,
        Field("base64_image", Type.PICTURE, sets("image"), required=True),
        Field("image_type", Type.TEXT, Decides("only whether it is accepted: png, jpeg or jpg"), default="png"),
    ),
    "base64_to_url": (_KEY, Field("base64_string", Type.PICTURE, sets("image"), required=True)),
    "base64_crop": (
        _KEY,
        Field("image", Type.PICTURE, sets("image"), required=True),
        Field("crop", Type.FLAG, Decides("whether the picture is cropped to the square in its middle"), default=False),
    ),
    # The vendor's own examples say what is deleted; there are only pictures.
    "delete_image": (_KEY, _REQUEST_ID, Field("type", Type.ANY, NoEffect())),
    "verify_model": (_KEY, _MODEL),
    "model_reload": (_KEY, _MODEL),
    "delete_model": (_KEY, _MODEL),
    "load_model": (_KEY, *_LOAD),
    "load_model_v2": (_KEY, *_LOAD),
    "update_s3": (
        _KEY,
        *(Field(name, Type.TEXT, sets(canonical), required=True) for canonical, name in STORAGE.items()),
    ),
}

FIELDS: Mapping[str, Table] = {name: Table(*_FUNCTIONS.get(name, (_KEY,))) for name in PATHS}
"""Function in `paths` -> the fields of its body."""
