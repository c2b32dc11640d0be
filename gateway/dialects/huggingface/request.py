"""Reads the Hugging Face dialect's request.

Beyond the handler's fields it takes arguments of diffusers' pipelines by their own names: `guess_mode`,
`control_guidance_start`, `control_guidance_end`, `clip_skip`; and, as StableDiffusionControlNetImg2ImgPipeline and
StableDiffusionControlNetInpaintPipeline have them, `control_image` beside `image`, which then is the picture to start
from, with `strength` and `mask_image`. Like those pipelines it reads prompts as they stand, without weights and no
further than the text encoder does at once. There is always one picture, whatever `num_images_per_prompt` says.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from families.limits import GUIDANCE
from gateway.bootstrap import Gateway
from gateway.dialects.common import schedulers
from gateway.generation.catalogue import Offer
from gateway.generation.generation import Control, Generation
from gateway.generation.pictures import Pictures
from gateway.web import bodies
from mesh.errors import InvalidInput
from mesh.pictures import check

STEPS = 30
# The published handler drew all its noise from one generator with this seed; here every call starts with it.
SEED = 3
CONTROL_TYPE = "normal"

# The handler's names -> kinds of the mesh, the best first (later ones have hints that the same ControlNets take), then
# other spellings; kinds of the mesh are known by their own names, too. The article that made the handler known says
# "though".
CONTROL_TYPES: Mapping[str, tuple[str, ...]] = {
    "canny_edge": ("canny",),
    "pose": ("openpose",),
    "depth": ("depth",),
    "scribble": ("scribble",),
    "segmentation": ("segmentation",),
    "normal": ("normal",),
    "hed": ("hed", "softedge"),
    "hough": ("mlsd",),
}
ALIASES: Mapping[str, tuple[str, ...]] = {
    "though": ("mlsd",),
    "canny": ("canny",),
    "openpose": ("openpose",),
    "seg": ("segmentation",),
    "mlsd": ("mlsd",),
    "softedge": ("softedge", "hed"),
    "lineart": ("lineart",),
    "inpaint": ("inpaint",),
}


def _truth(text: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


# Parameter -> field of the canonical request, and how text from the URL becomes its value.
_Readings = dict[str, tuple[str, Callable[[str], Any]]]
_PARAMETERS: _Readings = {
    "negative_prompt": ("negative_prompt", str),
    "num_inference_steps": ("steps", int),
    "guidance_scale": ("guidance_scale", float),
    "height": ("height", int),
    "width": ("width", int),
    "seed": ("seed", int),
    "scheduler": ("scheduler", str),
    "guess_mode": ("guess_mode", _truth),
    "clip_skip": ("clip_skip", int),
}
# The same for those that belong to the control.
_CONTROL_PARAMETERS: _Readings = {
    "controlnet_conditioning_scale": ("weight", float),
    "control_guidance_start": ("start", float),
    "control_guidance_end": ("end", float),
}
# Field of the canonical request -> the client's, for errors that come from further on.
NAMES = {
    **{field: name for name, (field, _) in _PARAMETERS.items()},
    **{f"controls[0].{field}": name for name, (field, _) in _CONTROL_PARAMETERS.items()},
    "prompt": "inputs",
    "mask": "mask_image",
    "controls[0].kind": "controlnet_type",
}
# How the base64 of PNG, JPEG and WebP begins.
_PICTURE_STARTS = ("iVBORw0KGgo", "/9j/", "UklGR", "data:image/")


@dataclass(frozen=True)
class Reading:
    """The canonical request, and the name of the field with the control's picture."""

    generation: Generation
    steering: str


@dataclass(frozen=True)
class _Payload:
    """A request's prompt, its picture if it has one, and all its fields by the client's names."""

    prompt: str | None
    picture: bytes | None
    asked: Mapping[str, Any]


async def read(request: Request, gateway: Gateway) -> Reading:
    """What `request` asks for.

    Raises:
        MeshError: naming the client's field, or the canonical one, for which NAMES has the client's.
    """
    return await _generation(request, gateway, await _payload(request, gateway))


async def _payload(request: Request, gateway: Gateway) -> _Payload:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await bodies.read(request, gateway.settings.max_body_bytes)
    if content_type.startswith("image/"):
        check(body, field="inputs")
        query = _from_query(request)
        return _Payload(query.get("prompt", ""), body, query)
    if content_type != "application/json":
        raise InvalidInput(
            f"Content-Type {content_type[:80]!r} is not supported; send application/json or an image type",
            field="Content-Type",
        )
    sent = bodies.json_object(body)
    if "inputs" not in sent:
        raise InvalidInput("Body needs to provide a inputs key", field="inputs")
    parameters = sent.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidInput("parameters must be an object", field="parameters")
    asked = {**sent, **(_from_query(request) if parameters is None else parameters)}
    inputs, image = sent["inputs"], asked.get("image")
    if image is None and isinstance(inputs, str) and len(inputs) > 64 and inputs.startswith(_PICTURE_STARTS):
        # InferenceClient.image_to_image puts the picture there and the prompt among the parameters.
        inputs, image = asked.get("prompt") or "", inputs
    if image is not None:
        return _Payload(inputs, await gateway.pictures.read(image, "image"), asked)
    if inputs is None:
        raise InvalidInput("Please provide a prompt and base64 encoded image.")
    # InferenceClient.text_to_image asks with `parameters` for a picture that nothing steers.
    if parameters is None or asked.get("controlnet_type") is not None:
        raise InvalidInput("image is missing; send the base64 of a PNG, JPEG or WebP picture", field="image")
    return _Payload(inputs, None, asked)


async def _generation(request: Request, gateway: Gateway, payload: _Payload) -> Reading:
    asked = payload.asked
    wanted = _chosen(asked, _PARAMETERS)
    target = asked.get("target_size")
    if isinstance(target, dict):
        wanted |= {side: target[side] for side in ("width", "height") if target.get(side) is not None}
    guidance = wanted.get("guidance_scale")
    if isinstance(guidance, int | float) and guidance < GUIDANCE.minimum:
        # To diffusers everything up to 1 means the same: no guidance.
        wanted["guidance_scale"] = GUIDANCE.minimum
    offer = await gateway.catalogue.offer()
    if isinstance(scheduler := wanted.get("scheduler"), str) and (entry := schedulers.find(offer, scheduler)):
        wanted["scheduler"] = entry.name
    model = _model(request, gateway, offer)
    controls: tuple[Control, ...] = ()
    picture, start = await _pictures(payload, gateway.pictures)
    if picture is not None:
        kind = _kind(asked.get("controlnet_type"), offer, model or await gateway.catalogue.default_model())
        controls = (Control(kind=kind, image=picture, **_chosen(asked, _CONTROL_PARAMETERS)),)
    defaults = {"prompt_weighting": False, "steps": STEPS, "seed": SEED}
    generation = Generation(
        prompt=payload.prompt or "", model=model, controls=controls, **{**defaults, **wanted, **start}
    )
    return Reading(generation, "control_image" if start else "image")


async def _pictures(payload: _Payload, pictures: Pictures) -> tuple[bytes | None, dict[str, Any]]:
    """The control's picture, and the fields of a picture to start from, none if there is no such picture.

    Raises:
        InvalidInput: one picture is there without the other that it needs.
    """
    control, mask = payload.asked.get("control_image"), payload.asked.get("mask_image")
    if control is None and mask is not None:
        raise InvalidInput(
            "control_image is missing; with mask_image it steers, and image is the picture to repaint",
            field="control_image",
        )
    if control is None:
        # A strength alone says nothing, then: copies of the handler were sent one and made something else of it.
        return payload.picture, {}
    if payload.picture is None:
        raise InvalidInput("image is missing; with control_image it is the picture to start from", field="image")
    start = {
        "image": payload.picture,
        "mask": None if mask is None else await pictures.read(mask, "mask_image"),
        "strength": payload.asked.get("strength"),
    }
    return await pictures.read(control, "control_image"), start


def _model(request: Request, gateway: Gateway, offer: Offer) -> str | None:
    """The model that the endpoint's name stands for; any other name is the default model's."""
    name = request.path_params.get("endpoint_name", "")
    return next((known for known in (name, gateway.settings.aliases().get(name)) if known and offer.model(known)), None)


def _kind(sent: object, offer: Offer, model: str) -> str:
    known = {**{control.kind: (control.kind,) for control in offer.controls}, **CONTROL_TYPES, **ALIASES}
    name = CONTROL_TYPE if sent is None else sent
    if not isinstance(name, str) or name not in known:
        available = ", ".join(_spoken(offer.extractable(model))) or "none"
        raise InvalidInput(
            f"controlnet_type {str(name)[:80]!r} is unknown; known: {', '.join(CONTROL_TYPES)}; "
            f"available here: {available}",
            field="controlnet_type",
        )
    refusals = []
    for kind in known[name]:
        refusal = offer.refusal(model, kind, extracting=True)
        if refusal is None:
            return kind
        refusals.append(refusal)
    why = refusals[0].sentence(_spoken(refusals[0].kinds))
    raise InvalidInput(f"controlnet_type {name!r} is not available here: {why}", field="controlnet_type")


def _spoken(kinds: Iterable[str]) -> list[str]:
    """The handler's names of `kinds`, in its order; others by their own names."""
    wanted = set(kinds)
    names = {kinds[0]: name for name, kinds in CONTROL_TYPES.items()}
    return [*(name for kind, name in names.items() if kind in wanted), *sorted(wanted - names.keys())]


def _from_query(request: Request) -> dict[str, Any]:
    """Query parameters, which are text, as the values that JSON would have had."""
    values: dict[str, Any] = dict(request.query_params)
    readings = {name: reading for name, (_, reading) in (_PARAMETERS | _CONTROL_PARAMETERS).items()}
    for name, reading in {**readings, "strength": float}.items():
        if name in values:
            try:
                values[name] = reading(values[name])
            except ValueError:
                words = "true or false" if reading is _truth else "a number"
                raise InvalidInput(f"{name} must be {words}, not {values[name][:80]!r}", field=name) from None
    return values


def _chosen(asked: Mapping[str, Any], readings: _Readings) -> dict[str, Any]:
    """Canonical field -> value, of those that were sent."""
    return {field: asked[name] for name, (field, _) in readings.items() if asked.get(name) is not None}
