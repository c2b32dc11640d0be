"""The part of the enterprise dialect's `meta` that repeats the request, as sent, or as executed if that can differ."""

import math
from typing import Any

from gateway.dialects.common.lenient import Lenient
from gateway.dialects.enterprise.request import Circumstances, Reading, strength
from gateway.dialects.enterprise.uncontrolled import NEEDS

_LONGEST_ECHO = 4096


def echo(fields: Lenient, around: Circumstances, reading: Reading) -> dict[str, Any]:
    """The fields by name, in the vendor's types.

    Args:
        fields: the request's fields, which were parsed without an error.
        around: the circumstances of the request.
        reading: the parsed request.
    """
    own = _of_controls(fields) if around.task == "controlnet" else _of_siblings(fields, NEEDS[around.task])
    if around.task != "text2img":
        own["strength"] = strength(fields, around)
    return own | _of_all(fields, reading)


def _of_controls(fields: Lenient) -> dict[str, Any]:
    models = ",".join(fields.words("controlnet_model") or fields.words("controlnet_type"))
    return {
        "controlnet_model": models,
        "controlnet_type": fields.text("controlnet_type", default=models.partition(",")[0]),
        "auto_hint": _yes_no(fields, "auto_hint"),
        "guess_mode": _yes_no(fields, "guess_mode"),
        "controlnet_conditioning_scale": fields.text("controlnet_conditioning_scale"),
        "init_image": _picture(fields, "init_image"),
        "mask_image": _picture(fields, "mask_image"),
        "control_image": _picture(fields, "control_image"),
    }


def _of_siblings(fields: Lenient, pictures: tuple[str, ...]) -> dict[str, Any]:
    return {
        **{name: _picture(fields, name) for name in pictures},
        # The graphs have a fixed precision and attention implementation, whatever is requested.
        "revision": "fp32",
        "enable_attention_slicing": "false",
        # Unavailable features were not applied; `tip` says so.
        "panorama": "no",
        "self_attention": "no",
        "highres_fix": "no",
    }


def _of_all(fields: Lenient, reading: Reading) -> dict[str, Any]:
    return {
        "model_id": fields.text("model_id"),
        # Nothing was checked, whatever was requested; `tip` says so.
        "safetychecker": "no",
        "safety_checker": "no",
        "safety_checker_type": fields.text("safety_checker_type"),
        "multi_lingual": _yes_no(fields, "multi_lingual"),
        "use_karras_sigmas": reading.solver.karras_shown,
        "algorithm_type": reading.solver.algorithm_shown,
        "tomesd": _yes_no(fields, "tomesd"),
        "instant_response": _yes_no(fields, "instant_response"),
        "vae": _as_sent(fields, "vae"),
        "full_url": "no",
        "upscale": fields.text("upscale", default="no"),
        "ip_adapter_id": _as_sent(fields, "ip_adapter_id"),
        "ip_adapter_scale": fields.number("ip_adapter_scale"),
        "ip_adapter_image": _picture(fields, "ip_adapter_image"),
        "enhance_prompt": _yes_no(fields, "enhance_prompt"),
        "enhance_style": reading.generation.enhance_style,
        "embeddings": _as_sent(fields, "embeddings_model", "embeddings"),
        "lora": ",".join(fields.words("lora_model")) or None,
        "lora_strength": _as_sent(fields, "lora_strength") or 1,
        "watermark": _yes_no(fields, "watermark"),
        "temp": _yes_no(fields, "temp"),
        "base64": _yes_no(fields, "base64"),
        "clip_skip": fields.whole("clip_skip"),
        "outdir": "out",
    }


def scalar(value: Any) -> Any:
    """`value`, if it is one that a record can keep: text of limited length, a number, a flag."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        # The range of numbers that JSON parsers generally support.
        return value if abs(value) < 2**63 else str(value)[:_LONGEST_ECHO]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value[:_LONGEST_ECHO]
    return None


def _as_sent(fields: Lenient, *names: str) -> Any:
    return scalar(fields.raw(*names))


def _yes_no(fields: Lenient, name: str) -> str:
    return "yes" if fields.flag(name) else "no"


def _picture(fields: Lenient, name: str) -> str | None:
    # A picture sent as base64 would be returned in full size.
    return ",".join(one if str(one)[:4].lower() == "http" else "base64" for one in fields.pictures(name)) or None
