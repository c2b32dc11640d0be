"""Reads the enterprise dialect's ControlNet request: what is honoured, what is only echoed, what is answered in `tip`.

Source: the vendor's public documentation of its ControlNet endpoints, 2023 to 2026. Where two versions disagree the
more tolerant one is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from families.limits import CLIP_SKIP, GUIDANCE, SAMPLES, SEED, SIDE, STRENGTH, WEIGHT, Range
from gateway.catalogue import Offer
from gateway.dialects import enterprise_kinds, enterprise_pictures, enterprise_solver
from gateway.dialects.coercion import Fields, missing
from gateway.dialects.enterprise_kinds import Wanted
from gateway.dialects.enterprise_pictures import Roles, assign
from gateway.dialects.enterprise_solver import Solver
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

# The vendor counts the layers that are used from the end, the mesh those that are skipped.
CLIP_SKIP_COUNTED = Range(CLIP_SKIP.minimum + 1, CLIP_SKIP.maximum)

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

_NONE = frozenset({"", "none", "no", "false"})

# Field -> whether its value asks for something that is not there, and what the caller is told.
_Asks = Callable[[Fields, str], bool]


def _yes(fields: Fields, name: str) -> bool:
    return fields.raw(name) is not None and fields.flag(name, False)


def _something(fields: Fields, name: str) -> bool:
    return str(fields.raw(name) or "none").strip().lower() not in _NONE


ABSENT: dict[str, tuple[_Asks, str]] = {
    "tomesd": (_yes, "tomesd has no effect here."),
    "vae": (_something, "vae was not applied: the model's own was used."),
    "lora_model": (_something, "lora_model was not applied: LoRAs are not available."),
    "embeddings_model": (_something, "embeddings_model was not applied: textual inversions are not available."),
    "embeddings": (_something, "embeddings was not applied: textual inversions are not available."),
    "safety_checker": (_yes, "safety_checker is not available; the pictures were not checked."),
    "multi_lingual": (_yes, "multi_lingual is not available; the prompt was used as sent."),
    "ip_adapter_id": (_something, "ip_adapter_id was not applied: IP adapters are not available."),
    "ip_adapter_image": (_something, "ip_adapter_image was not applied: IP adapters are not available."),
    "upscale": (lambda fields, name: _something(fields, name) and fields.text(name) != "1",
                "upscale is not available; the pictures have the size that was asked for."),
    "webhook": (_something, "webhook was not called: webhooks are not available; use fetch_result."),
    "watermark": (_yes, "watermark is not available; the pictures have none."),
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """A request as it was read.

    Attributes:
        generation: the canonical request.
        solver: what became of the fields about the scheduler.
        steering: name of the field with the controls' pictures.
    """

    generation: Generation
    solver: Solver
    steering: str


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


def style(fields: Fields, offer: Offer) -> str | None:
    """Name of the style that is asked for, if there is one of that name."""
    asked = fields.text("enhance_style").strip()
    name = asked.lower()
    if name in _NONE or any(name == known.name for known in offer.styles):
        return None if name in _NONE else name
    fields.remarks.append(f"enhance_style {asked[:80]!r} is unknown; the prompt got no style.")
    return None


async def read(
    fields: Fields, tier: str, offer: Offer, settings: GatewaySettings, default_model: str, pictures: Pictures
) -> Reading:
    """The canonical request that `fields` ask for. What could not be taken as sent is added to their remarks.

    Args:
        tier: "enterprise" or "public"; their defaults differ.

    Raises:
        InvalidInput: naming the vendor's field.
    """
    guess_mode = fields.flag("guess_mode", False)
    prompt = fields.text("prompt")
    if not prompt and not guess_mode:
        raise missing("prompt")
    name = model(fields, offer, settings, default_model)
    auto_hint = fields.flag("auto_hint", True)
    text = fields.text("qrcode_text")
    asked = enterprise_kinds.read(fields, offer, Wanted(name, auto_hint, text))
    texts = [text if offer.reads_text(kind) else "" for kind in asked]
    if text and not any(texts):
        fields.remarks.append("qrcode_text was not used: no hint of this request is made from words.")
    scales = weights(fields, len(asked))
    strength = fields.number("strength", default=STRENGTH_DEFAULT[tier], limits=STRENGTH)
    roles = assign(fields, [offer.reads_mask(kind) for kind in asked], [bool(words) for words in texts], strength)
    starts = roles.start is not None
    solver = enterprise_solver.read(fields, offer, name, invertible=starts and roles.mask is None)
    generation = Generation(
        prompt=prompt,
        negative_prompt=fields.text("negative_prompt"),
        model=name,
        controls=tuple(
            Control(kind=kind, image=None if words else b"", auto_hint=auto_hint, weight=scale, text=words or None)
            for kind, scale, words in zip(asked, scales, texts, strict=True)
        ),
        width=fields.whole("width", default=SIZE_DEFAULT, limits=SIDE),
        height=fields.whole("height", default=SIZE_DEFAULT, limits=SIDE),
        steps=fields.whole("num_inference_steps", "steps", default=STEPS_DEFAULT[tier], limits=STEPS),
        guidance_scale=fields.number("guidance_scale", "guidance", default=GUIDANCE_DEFAULT, limits=GUIDANCE),
        scheduler=solver.scheduler,
        seed=seed(fields),
        samples=fields.whole("samples", default=1, limits=SAMPLES),
        clip_skip=fields.whole("clip_skip", "clipskip", default=1, limits=CLIP_SKIP_COUNTED) - 1,
        image=b"" if starts else None,
        # Inverting has no use for a strength that nobody asked for.
        strength=strength if starts and (fields.raw("strength") is not None or not solver.inverts) else None,
        guess_mode=guess_mode,
        use_karras_sigmas=solver.use_karras_sigmas,
        algorithm_type=solver.algorithm_type,
        enhance_prompt=fields.flag("enhance_prompt", False),
        enhance_style=style(fields, offer),
    )
    fields.remarks.extend(sentence for field, (asks, sentence) in ABSENT.items() if asks(fields, field))
    # Last, because they may have to be fetched.
    generation = _with_pictures(generation, offer, await enterprise_pictures.read(roles, pictures))
    return Reading(generation, solver, roles.steering)


def _with_pictures(generation: Generation, offer: Offer, roles: Roles) -> Generation:
    starts = roles.start is not None

    def steered(control: Control, hint: bytes | None) -> Control:
        # A control takes the picture that is started from, and its mask, without a copy of its own.
        mask = roles.mask if not starts and offer.reads_mask(control.kind) else None
        return replace(control, image=None if hint is roles.start else hint, mask=mask)

    return replace(
        generation,
        controls=tuple(map(steered, generation.controls, roles.hints)),
        image=roles.start,
        mask=roles.mask if starts else None,
    )
