"""Parses the enterprise dialect's ControlNet requests."""

from dataclasses import replace

from families.limits import DEFAULT_WEIGHT
from gateway.dialects.common.lenient import Lenient
from gateway.dialects.enterprise import kinds as enterprise_kinds
from gateway.dialects.enterprise import pictures as enterprise_pictures
from gateway.dialects.enterprise import request as enterprise_request
from gateway.dialects.enterprise import solver as enterprise_solver
from gateway.dialects.enterprise.fields import missing
from gateway.dialects.enterprise.kinds import Wanted
from gateway.dialects.enterprise.pictures import Reader, Roles, assign
from gateway.dialects.enterprise.request import Circumstances, Reading
from gateway.generation.catalogue import Offer
from gateway.generation.generation import Control, Generation
from mesh.prompt_tags import is_empty

_TO_START_FROM = "init_image with a control_image, with a strength below 1 and no mask_image"


async def read(fields: Lenient, around: Circumstances, pictures: Reader) -> Reading:
    """The canonical request for `fields`. Deviations from what was sent are added to their remarks.

    Raises:
        InvalidInput: naming the vendor's field.
    """
    offer = around.offer
    guess_mode = fields.flag("guess_mode")
    prompt = fields.text("prompt")
    if is_empty(prompt) and not guess_mode:
        raise missing("prompt")
    name = enterprise_request.model(fields, around)
    auto_hint = fields.flag("auto_hint")
    text = fields.text("qrcode_text")
    asked = enterprise_kinds.read(fields, offer, Wanted(name, auto_hint, text))
    texts = [text if offer.reads_text(kind) else "" for kind in asked]
    if text and not any(texts):
        fields.remarks.append("qrcode_text was not used: no hint of this request is made from text.")
    scales = _weights(fields, len(asked))
    strength = enterprise_request.strength(fields, around)
    roles = assign(fields, [offer.reads_mask(kind) for kind in asked], [bool(words) for words in texts], strength)
    starts = roles.start is not None
    solver = enterprise_solver.read(fields, offer, name, starts and roles.mask is None, _TO_START_FROM)
    generation = Generation(
        prompt=prompt,
        model=name,
        controls=tuple(
            Control(kind=kind, image=None if words else b"", auto_hint=auto_hint, weight=scale, text=words or None)
            for kind, scale, words in zip(asked, scales, texts, strict=True)
        ),
        image=b"" if starts else None,
        # Inverting does not use a default strength.
        strength=strength if starts and (fields.raw("strength") is not None or not solver.inverts) else None,
        guess_mode=guess_mode,
        **enterprise_request.common(fields, around, solver, name),
    )
    # Last, because pictures may have to be fetched.
    generation = _with_pictures(generation, offer, await enterprise_pictures.read(roles, pictures))
    return Reading(generation, solver, roles.steering)


def _weights(fields: Lenient, count: int) -> list[float]:
    """Conditioning scale of each control; a shorter list repeats its last, an empty place has the default."""
    name = "controlnet_conditioning_scale"
    listed = fields.numbers(name) or [DEFAULT_WEIGHT]
    if len(listed) > count:
        fields.remarks.append(f"{name} has {len(listed)} numbers for {count} controls; the first {count} were used.")
    if None in listed[:count]:
        fields.remarks.append(f"{name} has no number in place {listed.index(None) + 1}; {DEFAULT_WEIGHT:g} was used.")
    if len(listed) < count and fields.ends_empty(name):
        fields.remarks.append(f"The last number of {name}, {listed[-1]:g}, was used for the other controls too.")
    scales = [DEFAULT_WEIGHT if one is None else one for one in listed]
    return [scales[min(index, len(scales) - 1)] for index in range(count)]


def _with_pictures(generation: Generation, offer: Offer, roles: Roles) -> Generation:
    starts = roles.start is not None

    def steered(control: Control, hint: bytes | None) -> Control:
        # A control uses the initial picture, and its mask, without a copy of its own.
        mask = roles.mask if not starts and offer.reads_mask(control.kind) else None
        return replace(control, image=None if hint is roles.start else hint, mask=mask)

    return replace(
        generation,
        controls=tuple(map(steered, generation.controls, roles.hints)),
        image=roles.start,
        mask=roles.mask if starts else None,
    )
