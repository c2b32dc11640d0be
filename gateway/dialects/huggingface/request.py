"""Parses the Hugging Face dialect's requests.

In addition to the handler's fields it accepts arguments of diffusers' pipelines by name: `guess_mode`,
`control_guidance_start`, `control_guidance_end`, `clip_skip`; and, as in StableDiffusionControlNetImg2ImgPipeline and
StableDiffusionControlNetInpaintPipeline, `control_image` with `image`, which then is the initial picture, with
`strength` and `mask_image`. Like those pipelines it uses prompts as they are, without weights, truncated to the text
encoder's length. There is always one picture, whatever `num_images_per_prompt` is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from families.limits import GUIDANCE
from gateway.bootstrap import Gateway
from gateway.dialects.common.declared import Table, spoken
from gateway.dialects.common.request import FileOrJson, body_of, fields_of, media_type_of
from gateway.dialects.common.strangers import query_not_used
from gateway.dialects.common.strict import Strict, typed
from gateway.dialects.huggingface.declared import (
    CONTROL_PARAMETERS,
    CONTROL_TYPE,
    FIELDS,
    GUIDANCE_DEFAULT,
    PARAMETERS,
    PHRASES,
    SEED_DEFAULT,
    STEPS_DEFAULT,
    missing,
)
from gateway.generation.catalogue import Offer
from gateway.generation.checks import shown
from gateway.generation.foreign import meant
from gateway.generation.generation import Control, Generation
from gateway.generation.pictures import Pictures, checked
from mesh.containers import sniff
from mesh.errors import InvalidInput

# The handler's names -> kinds of the mesh, the best first (later ones have hints for the same ControlNets), then other
# spellings; the mesh's own names of kinds also work. "though" is from the article that introduced the handler.
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

# Kind -> the extractor that follows the handler's rule, where the mesh's first one does not: dark pixels are strokes.
_EXTRACTORS: Mapping[str, str] = {"scribble": "drawing"}

# Field of the canonical request -> the client's, to rename errors of the canonical request.
NAMES = spoken(tuple(FIELDS["predict"].values()))
# The first characters of PNG, JPEG and WebP as base64.
_BLANKS = 256
_PICTURE_STARTS = ("iVBORw0KGgo", "/9j/", "UklGR", "data:image/")


@dataclass(frozen=True)
class Reading:
    """The canonical request, the name of the field with the control's picture, and remarks for the caller."""

    generation: Generation
    steering: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Payload:
    """A request's prompt, its picture if any, and all its fields."""

    prompt: str | None
    picture: bytes | None
    fields: Strict


async def read(request: Request, gateway: Gateway, table: Table) -> Reading:
    """Parse `request` by the declared fields of `table`.

    Raises:
        MeshError: naming the client's field, or the canonical one, which NAMES maps to the client's.
    """
    return await _generation(request, gateway, await _payload(request, gateway, table))


async def _payload(request: Request, gateway: Gateway, table: Table) -> _Payload:
    content_type = media_type_of(request)
    scan = FileOrJson(content_type)
    body = await body_of(gateway, request, scan)
    # A file is taken by what its bytes are: labels say image/jpg, application/octet-stream or nothing at all.
    if content_type.startswith("image/") or (scan.is_file and sniff(body) is not None):
        body = await checked(body, "inputs")
        fields = Strict(typed(request.query_params, table, PHRASES), table, PHRASES)
        return _Payload(fields.raw("prompt") or "", body, fields)
    if not (content_type.startswith("application/") and content_type.endswith("json")):
        raise InvalidInput(
            f"Content-Type {content_type[:80]!r} is not supported; send application/json or an image type",
            field="Content-Type",
        )
    sent = await fields_of(scan, body)
    outer = Strict(sent, table, PHRASES)
    if not outer.was_sent("inputs"):
        raise missing("inputs")
    parameters = outer.raw("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidInput("parameters must be an object", field="parameters")
    beside = typed(request.query_params, table, PHRASES) if parameters is None else parameters
    fields = Strict({**sent, **beside}, table, PHRASES)
    unread = (
        () if parameters is None else query_not_used(request, lambda name: "this body has parameters, which count.")
    )
    fields.remarks.extend(unread)
    inputs, image = outer.raw("inputs"), fields.raw("image")
    if (
        image is None
        and isinstance(inputs, str)
        and len(inputs) > 64
        and inputs[:_BLANKS].lstrip().startswith(_PICTURE_STARTS)
    ):
        # InferenceClient.image_to_image sends the picture as `inputs` and the prompt in the parameters.
        inputs, image = fields.raw("prompt") or "", inputs
    if (prompt := fields.raw("prompt")) is not None and prompt != inputs:
        fields.remarks.append("prompt was not used: inputs is the prompt, unless it holds the picture.")
    if image is not None:
        return _Payload(inputs, await gateway.pictures.read(image, "image"), fields)
    if inputs is None:
        raise InvalidInput("Please provide a prompt and base64 encoded image.")
    # InferenceClient.text_to_image sends `parameters` and no control picture.
    if parameters is None or fields.raw("controlnet_type") is not None:
        raise InvalidInput("image is missing; send the base64 of a PNG, JPEG or WebP picture", field="image")
    return _Payload(inputs, None, fields)


async def _generation(request: Request, gateway: Gateway, payload: _Payload) -> Reading:
    fields = payload.fields
    wanted = fields.passed(PARAMETERS)
    target = fields.raw("target_size")
    if isinstance(target, dict):
        wanted |= {side: target[side] for side in ("width", "height") if target.get(side) is not None}
    guidance = wanted.get("guidance_scale")
    if isinstance(guidance, int | float) and guidance < GUIDANCE.minimum:
        # To diffusers everything up to 1 means the same: no guidance.
        wanted["guidance_scale"] = GUIDANCE.minimum
    offer = await gateway.catalogue.offer()
    if isinstance(scheduler := wanted.get("scheduler"), str) and (entry := offer.scheduler(scheduler)):
        wanted["scheduler"] = entry.name
    model = _model(request, gateway, offer)
    endpoint = request.path_params.get("endpoint_name", "")
    if endpoint and model is None:
        default = await gateway.catalogue.default_model()
        fields.remarks.append(f"{endpoint[:80]!r} is not the name of a loaded model; {default} was used.")
    controls: tuple[Control, ...] = ()
    picture, start = await _pictures(payload, gateway.pictures)
    if picture is not None:
        kind = _kind(fields.raw("controlnet_type"), offer, model or await gateway.catalogue.default_model())
        rule = _EXTRACTORS.get(kind)
        controls = (Control(kind=kind, image=picture, extractor=rule, **fields.passed(CONTROL_PARAMETERS)),)
    defaults = {
        "prompt_weighting": False,
        "steps": STEPS_DEFAULT,
        "guidance_scale": offer.guidance(model or await gateway.catalogue.default_model(), GUIDANCE_DEFAULT),
        "seed": SEED_DEFAULT,
    }
    generation = Generation(
        prompt=payload.prompt or "", model=model, controls=controls, **{**defaults, **wanted, **start}
    )
    unused = [] if picture is not None else [field.name for field in CONTROL_PARAMETERS]
    unused += [] if start else ["strength"]
    for name in unused:
        if fields.raw(name) is not None:
            needed = "control_image" if name == "strength" else "image"
            fields.remarks.append(f"{name} was not used: it needs {needed}.")
    fields.remarks.extend(fields.unknown())
    return Reading(generation, "control_image" if start else "image", tuple(fields.remarks))


async def _pictures(payload: _Payload, pictures: Pictures) -> tuple[bytes | None, dict[str, Any]]:
    """The control's picture, and the fields of the initial picture, empty if there is none.

    Raises:
        InvalidInput: a picture was sent without another one that it requires.
    """
    control, mask = payload.fields.raw("control_image"), payload.fields.raw("mask_image")
    if control is None and mask is not None:
        raise InvalidInput(
            "control_image is missing; with mask_image it steers, and image is the picture to repaint",
            field="control_image",
        )
    if control is None:
        # A strength alone is ignored: copies of the handler use it with another meaning.
        return payload.picture, {}
    if payload.picture is None:
        raise InvalidInput("image is missing; with control_image it is the picture to start from", field="image")
    start = {
        "image": payload.picture,
        "mask": None if mask is None else await pictures.read(mask, "mask_image"),
        "strength": payload.fields.raw("strength"),
    }
    return await pictures.read(control, "control_image"), start


def _model(request: Request, gateway: Gateway, offer: Offer) -> str | None:
    """The model named by the endpoint's name; any other name means the default model."""
    name = request.path_params.get("endpoint_name", "")
    return next((known for known in (name, gateway.settings.aliases().get(name)) if known and offer.model(known)), None)


def _kind(sent: object, offer: Offer, model: str) -> str:
    known = {**{control.kind: (control.kind,) for control in offer.controls}, **CONTROL_TYPES, **ALIASES}
    name = CONTROL_TYPE if sent is None else sent
    if not isinstance(name, str) or name not in known:
        available = ", ".join(_spoken(offer.extractable(model))) or "none"
        found = meant("kind", name, known) if isinstance(name, str) else None
        raise InvalidInput(
            f"controlnet_type {shown(name)} is unknown;{f' did you mean {found}?' if found else ''} known: "
            f"{', '.join(CONTROL_TYPES)}; available here: {available}",
            field="controlnet_type",
        )
    refusals = []
    for kind in known[name]:
        refusal = offer.refusal(model, kind, extracting=True)
        if refusal is None:
            return kind
        refusals.append(refusal)
    why = refusals[0].sentence(_spoken(refusals[0].kinds))
    default = "" if sent is not None else f"; none was sent, and {name!r} is the default"
    raise refusals[0].error(f"controlnet_type {name!r} is not available here: {why}{default}", "controlnet_type")


def _spoken(kinds: Iterable[str]) -> list[str]:
    """The handler's names of `kinds`, in its order; the mesh's names for others."""
    wanted = set(kinds)
    names = {kinds[0]: name for name, kinds in CONTROL_TYPES.items()}
    return [*(name for kind, name in names.items() if kind in wanted), *sorted(wanted - names.keys())]
