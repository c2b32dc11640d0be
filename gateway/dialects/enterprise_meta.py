"""The part of the enterprise dialect's `meta` that repeats the request: as it was asked, or as it was done where that
can differ."""

from typing import Any

from families.limits import FRACTION, STRENGTH
from gateway.dialects.coercion import Fields
from gateway.dialects.enterprise_request import CLIP_SKIP_COUNTED, STRENGTH_DEFAULT, Reading


def echo(fields: Fields, tier: str, reading: Reading) -> dict[str, Any]:
    """The fields by name, in the vendor's odd types.

    Args:
        fields: of the request, which have been read without an error.
        tier: "enterprise" or "public"; their defaults differ.
        reading: what was made of them.
    """

    def yes_no(name: str, default: str) -> str:
        return default if fields.raw(name) is None else "yes" if fields.flag(name, False) else "no"

    def shown(name: str) -> str | None:
        # A picture sent as base64 would come back as large as it came.
        return ",".join(one if str(one)[:4].lower() == "http" else "base64" for one in fields.pictures(name)) or None

    models = ",".join(fields.words("controlnet_model") or fields.words("controlnet_type", "type"))
    return {
        "model_id": fields.text("model_id"),
        "controlnet_model": models,
        "controlnet_type": fields.text("controlnet_type", "type", default=models.partition(",")[0]),
        # Nothing was checked, whatever was asked for; `tip` says so.
        "safetychecker": "no",
        "safety_checker": "no",
        "safety_checker_type": fields.text("safety_checker_type", default="sensitive_content_text"),
        "auto_hint": yes_no("auto_hint", "yes"),
        "guess_mode": yes_no("guess_mode", "no"),
        "strength": fields.number("strength", default=STRENGTH_DEFAULT[tier], limits=STRENGTH),
        "controlnet_conditioning_scale": fields.text("controlnet_conditioning_scale", default="1.0"),
        "multi_lingual": yes_no("multi_lingual", "no"),
        "use_karras_sigmas": reading.solver.karras_shown,
        "algorithm_type": reading.solver.algorithm_shown,
        "tomesd": yes_no("tomesd", "yes"),
        "instant_response": yes_no("instant_response", "no"),
        "init_image": shown("init_image"),
        "mask_image": shown("mask_image"),
        "control_image": shown("control_image"),
        "vae": fields.raw("vae"),
        "full_url": "no",
        "upscale": fields.text("upscale", default="no"),
        "ip_adapter_id": fields.raw("ip_adapter_id"),
        "ip_adapter_scale": fields.number("ip_adapter_scale", default=0.6, limits=FRACTION),
        "ip_adapter_image": shown("ip_adapter_image"),
        "enhance_prompt": yes_no("enhance_prompt", "no"),
        "enhance_style": reading.generation.enhance_style,
        "embeddings": fields.raw("embeddings_model", "embeddings"),
        "lora": ",".join(fields.words("lora_model")) or None,
        "lora_strength": fields.raw("lora_strength") or 1,
        "watermark": yes_no("watermark", "no"),
        "temp": yes_no("temp", "no"),
        "base64": yes_no("base64", "no"),
        "clip_skip": fields.whole("clip_skip", "clipskip", default=1, limits=CLIP_SKIP_COUNTED),
        "outdir": "out",
    }
