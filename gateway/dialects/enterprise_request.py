"""Reads the enterprise dialect's ControlNet request: what is honoured, what is only echoed, what is answered in `tip`.

Source: the vendor's public documentation of its ControlNet endpoints, 2023 to 2026. Where two versions disagree the
more tolerant one is taken.
"""

from collections.abc import Callable
from typing import Any

from families.limits import CLIP_SKIP, FRACTION, GUIDANCE, MOST_CONTROLS, SAMPLES, SEED, SIDE, WEIGHT, Range
from gateway.catalogue import Offer
from gateway.dialects.coercion import Fields
from gateway.generation import Control, Generation
from gateway.images import Pictures
from gateway.settings import GatewaySettings
from mesh.errors import InvalidInput

# The vendor takes fewer steps than the mesh does.
STEPS = Range(1, 50)
STEPS_DEFAULT = {"enterprise": 21, "public": 30}
SIZE_DEFAULT = 512
GUIDANCE_DEFAULT = 7.5
STRENGTH_DEFAULT = {"enterprise": 0.7, "public": 0.55}
SCHEDULER_DEFAULT = "UniPCMultistepScheduler"

# The vendor's kinds -> kinds of the mesh, where they differ.
KINDS = {"pose": "openpose", "softedge": "hed"}
# What the vendor itself calls a kind. Any other name is a control model of the caller's own.
VENDOR_KINDS = frozenset(
    {
        "canny", "depth", "tile", "blur", "pose", "openpose", "hed", "softedge", "mlsd", "lineart", "normal",
        "segmentation", "scribble", "inpaint", "shuffle", "qrcode", "face_detector", "gray", "low_quality",
        "aesthetic-controlnet", "ip2p",
    }
)  # fmt: skip

# The vendor counts the layers that are used from the end, the mesh those that are skipped.
_CLIP_SKIP = Range(CLIP_SKIP.minimum + 1, CLIP_SKIP.maximum)

EXAMPLE = {
    "key": "...",
    "model_id": "demo",
    "controlnet_model": "canny",
    "prompt": "a red circle on a white background",
    "init_image": "https://example.org/edges.png",
    "width": "512",
    "height": "512",
    "num_inference_steps": "30",
    "samples": "1",
    "seed": None,
}

# Field -> whether its value asks for something that is not there, and what the caller is told.
_Asks = Callable[[Fields, str], bool]


def _yes(fields: Fields, name: str) -> bool:
    return fields.raw(name) is not None and fields.flag(name, False)


def _something(fields: Fields, name: str) -> bool:
    return str(fields.raw(name) or "none").strip().lower() not in ("none", "no", "false")


ABSENT: dict[str, tuple[_Asks, str]] = {
    "guess_mode": (_yes, "guess_mode is not available; the prompt steers the picture as usual."),
    "mask_image": (_something, "mask_image was not used: inpainting is not available; the whole picture was made."),
    "tomesd": (_yes, "tomesd has no effect here."),
    "use_karras_sigmas": (_yes, "use_karras_sigmas was not applied: the model's own noise schedule was used."),
    "algorithm_type": (_something, "algorithm_type was not applied: the scheduler's own was used."),
    "vae": (_something, "vae was not applied: the model's own was used."),
    "lora_model": (_something, "lora_model was not applied: LoRAs are not available."),
    "embeddings_model": (_something, "embeddings_model was not applied: textual inversions are not available."),
    "embeddings": (_something, "embeddings was not applied: textual inversions are not available."),
    "safety_checker": (_yes, "safety_checker is not available; the pictures were not checked."),
    "enhance_prompt": (_yes, "enhance_prompt is not available; the prompt was used as sent."),
    "enhance_style": (_something, "enhance_style is not available; the prompt was used as sent."),
    "multi_lingual": (_yes, "multi_lingual is not available; the prompt was used as sent."),
    "ip_adapter_id": (_something, "ip_adapter_id was not applied: IP adapters are not available."),
    "ip_adapter_image": (_something, "ip_adapter_image was not applied: IP adapters are not available."),
    "upscale": (lambda fields, name: _something(fields, name) and fields.text(name) != "1",
                "upscale is not available; the pictures have the size that was asked for."),
    "webhook": (_something, "webhook was not called: webhooks are not available; use fetch_result."),
    "watermark": (_yes, "watermark is not available; the pictures have none."),
}  # fmt: skip


def missing(name: str) -> InvalidInput:
    """The error for a required field that says nothing."""
    return InvalidInput(f"The {name.replace('_', ' ')} field is required.", field=name)


def model(fields: Fields, offer: Offer, settings: GatewaySettings, default: str) -> str:
    """Name of the loaded model that `model_id` asks for.

    Raises:
        InvalidInput: it is unknown, and the deployment does not take its default model instead.
    """
    asked = fields.text("model_id").strip()
    name = settings.aliases().get(asked, asked) or default
    if offer.model(name) is not None:
        return name
    if settings.unknown_model == "default":
        fields.remarks.append(f"model_id {asked[:80]!r} is not loaded; {default} was used.")
        return default
    raise InvalidInput(f"Model not found: {asked[:80]}", field="model_id")


def kinds(fields: Fields, offer: Offer, model: str, auto_hint: bool) -> list[str]:
    """Control kinds asked for, in order. `controlnet_type` speaks where `controlnet_model` is missing or no kind.

    Raises:
        InvalidInput: none named, too many, or one that is not available; names those that are.
    """
    named = fields.words("controlnet_model") or fields.words("controlnet_type", "type")
    if not named:
        raise missing("controlnet_model")
    if len(named) > MOST_CONTROLS:
        raise InvalidInput(f"controlnet_model may name at most {MOST_CONTROLS} controls.", field="controlnet_model")
    loaded = offer.model(model)
    known = set(loaded.controls) if loaded else set()
    usable = set(offer.extractable(model)) if auto_hint else known
    first = next(iter(fields.words("controlnet_type", "type")), "")
    found = []
    for index, name in enumerate(named):
        kind = KINDS.get(name, name)
        if index == 0 and name not in known | VENDOR_KINDS and KINDS.get(first, first) in usable:
            kind = KINDS.get(first, first)
            fields.remarks.append(f"controlnet_model {name[:80]!r} is not loaded; the one for {kind} was used.")
        if kind not in usable:
            available = ", ".join(sorted(usable)) or "none"
            raise InvalidInput(
                f"controlnet_model {name[:80]!r} is not available here; available: {available}",
                field="controlnet_model",
            )
        found.append(kind)
    return found


def scheduler(fields: Fields, offer: Offer) -> str | None:
    """Name of the scheduler; the default one for names that can't drive this."""
    known = [entry.name for entry in offer.schedulers]
    default = SCHEDULER_DEFAULT if SCHEDULER_DEFAULT in known else None
    asked = fields.text("scheduler").strip()
    if not asked or asked in known:
        return asked or default
    fields.remarks.append(f"scheduler {asked[:80]!r} is not available; {default or 'the default one'} was used.")
    return default


def seed(fields: Fields) -> int | None:
    """The seed; None for a random one, which null, "" and negative numbers ask for."""
    value = fields.raw("seed")
    if value is None:
        return None
    number = fields.clamped("seed", value, Range(-1, SEED.maximum))
    return None if number < 0 else int(number)


def weights(fields: Fields, count: int) -> list[float]:
    """Conditioning scale of each control; a shorter list repeats its last."""
    name = "controlnet_conditioning_scale"
    listed = [fields.clamped(name, word, WEIGHT) for word in fields.words(name)] or [1.0]
    return [listed[min(index, len(listed) - 1)] for index in range(count)]


async def picture(fields: Fields, pictures: Pictures) -> bytes:
    """The picture that the hints are made of: `control_image`, else `init_image`."""
    name = "init_image" if fields.raw("control_image") is None else "control_image"
    value = fields.raw(name)
    if value is None:
        raise missing("init_image")
    if name == "control_image" and fields.raw("init_image") is not None:
        strength = fields.number("strength", default=STRENGTH_DEFAULT["enterprise"], limits=FRACTION)
        if strength < 1:
            fields.remarks.append("init_image was not used: image-to-image is not available; control_image steered.")
    return await pictures.read(value, name)


async def read(
    fields: Fields, tier: str, offer: Offer, settings: GatewaySettings, default_model: str, pictures: Pictures
) -> Generation:
    """The canonical request that `fields` ask for. What could not be taken as sent is added to their remarks.

    Args:
        tier: "enterprise" or "public"; their defaults differ.

    Raises:
        InvalidInput: naming the vendor's field.
    """
    prompt = fields.text("prompt")
    if not prompt and not fields.flag("guess_mode", False):
        raise missing("prompt")
    name = model(fields, offer, settings, default_model)
    auto_hint = fields.flag("auto_hint", True)
    asked = kinds(fields, offer, name, auto_hint)
    scales = weights(fields, len(asked))
    skipped = fields.whole("clip_skip", "clipskip", default=1, limits=_CLIP_SKIP) - 1
    generation = Generation(
        prompt=prompt,
        negative_prompt=fields.text("negative_prompt"),
        model=name,
        width=fields.whole("width", default=SIZE_DEFAULT, limits=SIDE),
        height=fields.whole("height", default=SIZE_DEFAULT, limits=SIDE),
        steps=fields.whole("num_inference_steps", "steps", default=STEPS_DEFAULT[tier], limits=STEPS),
        guidance_scale=fields.number("guidance_scale", "guidance", default=GUIDANCE_DEFAULT, limits=GUIDANCE),
        scheduler=scheduler(fields, offer),
        seed=seed(fields),
        samples=fields.whole("samples", default=1, limits=SAMPLES),
        clip_skip=skipped,
    )
    # Last, because it may have to be fetched.
    source = await picture(fields, pictures)
    controls = tuple(
        Control(kind=kind, image=source, auto_hint=auto_hint, weight=scale)
        for kind, scale in zip(asked, scales, strict=True)
    )
    fields.remarks.extend(sentence for field, (asks, sentence) in ABSENT.items() if asks(fields, field))
    return Generation(**{**vars(generation), "controls": controls})


def echo(fields: Fields, tier: str) -> dict[str, Any]:
    """The part of `meta` that repeats the request, in the vendor's odd types."""

    def yes_no(name: str, default: str) -> str:
        return default if fields.raw(name) is None else "yes" if fields.flag(name, False) else "no"

    def shown(name: str) -> str | None:
        value = fields.raw(name)
        # A picture sent as base64 would come back as large as it came.
        return None if value is None else str(value) if str(value)[:4].lower() == "http" else "base64"

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
        "strength": fields.number("strength", default=STRENGTH_DEFAULT[tier], limits=FRACTION),
        "controlnet_conditioning_scale": fields.text("controlnet_conditioning_scale", default="1.0"),
        "multi_lingual": yes_no("multi_lingual", "no"),
        "use_karras_sigmas": yes_no("use_karras_sigmas", "yes"),
        "algorithm_type": fields.text("algorithm_type", default="no"),
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
        "enhance_prompt": yes_no("enhance_prompt", "yes"),
        "enhance_style": fields.raw("enhance_style"),
        "embeddings": fields.raw("embeddings_model", "embeddings"),
        "lora": ",".join(fields.words("lora_model")) or None,
        "lora_strength": fields.raw("lora_strength") or 1,
        "watermark": yes_no("watermark", "no"),
        "temp": yes_no("temp", "no"),
        "base64": yes_no("base64", "no"),
        "clip_skip": fields.whole("clip_skip", "clipskip", default=1, limits=_CLIP_SKIP),
        "outdir": "out",
    }
