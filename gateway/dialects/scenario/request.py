"""Parses the Scenario dialect's requests for pictures.

Source: the vendor's guide to ControlNet, its reference and its SDKs. Where they disagree: one picture by default, the
guide's scheduler if it is available, a strength of 0.75. A control's picture counts as a photo from which the hint is
extracted, unless the request says that it is a map; models of the flux family always take maps. The unmasked area of an
inpainting is copied from the picture that was sent, unless `disableMerging` is true.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from families.limits import GUIDANCE, SAMPLES
from gateway.dialects.common import seeds
from gateway.dialects.common.strict import Strict
from gateway.dialects.scenario import modality
from gateway.dialects.scenario.declared import ABSENT, CONTROL_PICTURES, MASKS, PICTURES, no_use
from gateway.dialects.scenario.fields import empty, wrong
from gateway.dialects.scenario.pictures import Reader, first, missing
from gateway.dialects.scenario.routes import Route
from gateway.generation.catalogue import Offer
from gateway.generation.foreign import meant
from gateway.generation.generation import Control, Generation
from gateway.settings import GatewaySettings
from mesh.errors import InvalidInput, NotFound
from mesh.prompt_tags import is_empty

SCHEDULER = "EulerAncestralDiscrete"
SCHEDULERS = frozenset(
    f"{name}Scheduler"
    for name in (
        "DDIM", "DDPM", "DEISMultistep", "DPMSolverMultistep", "DPMSolverSinglestep", "EulerAncestralDiscrete",
        "EulerDiscrete", "HeunDiscrete", "KDPM2AncestralDiscrete", "KDPM2Discrete", "LCM", "LMSDiscrete", "PNDM", "TCD",
        "UniPCMultistep",
    )
)  # fmt: skip
"""The vendor's schedulers; those that are not available are replaced, with a remark."""


@dataclass(frozen=True)
class Dialled:
    """The differences between the older routes and the newer one.

    Attributes:
        modality: name of the field with the modalities.
        weight: name of the field with the default weight of modalities; None: there is none.
    """

    modality: str = "modality"
    weight: str | None = None


OLD = Dialled()


def newer(fields: Strict) -> Dialled:
    """The newer route's names; it also accepts the older name of the modalities."""
    older = fields.raw("controlModality") is None and fields.raw(OLD.modality) is not None
    return Dialled(OLD.modality if older else "controlModality", "controlStrength")


def model(fields: Strict, asked: str, offer: Offer, settings: GatewaySettings, default: str) -> str:
    """Name of the loaded model for `asked`.

    Raises:
        NotFound: unknown, and the deployment does not use its default model instead.
    """
    name = settings.aliases().get(asked, asked)
    if offer.model(name) is not None:
        return name
    if settings.unknown_model == "default":
        fields.remarks.append(f"Model {asked[:80]} is not loaded; {default} was used.")
        return default
    raise NotFound(f"Model {asked[:80]} not found", field="modelId")


async def read(fields: Strict, route: Route, dialled: Dialled, name: str, offer: Offer, pictures: Reader) -> Generation:
    """The canonical request. Deviations from what was sent are added to the remarks of `fields`.

    Args:
        name: of the loaded model.

    Raises:
        InvalidInput: naming the vendor's field.
    """
    family = modality.family_of(offer, name)
    prompt = fields.required("prompt")
    if is_empty(prompt):
        raise empty("prompt")
    generation = Generation(
        prompt=prompt,
        negative_prompt=fields.text("negativePrompt") or "",
        model=name,
        width=fields.whole("width", offer.side(name)),
        height=fields.whole("height", offer.side(name)),
        steps=fields.whole("numInferenceSteps"),
        guidance_scale=max(fields.number("guidance", family.guidance), GUIDANCE.minimum),
        scheduler=_scheduler(fields, offer),
        seed=_seed(fields),
        samples=_samples(fields),
    )
    fields.flag("hideResults")
    items = _items(fields, dialled, name, offer, family) if route.controlled else ()
    steering, start, mask = _sources(fields, route)
    strength = fields.number("strength") if route.starts else None
    merging = not fields.flag("disableMerging") and mask is not None
    fields.remarks.extend(fields.unheard(ABSENT))
    fields.remarks.extend(_unused(fields, {steering, start, mask}))
    # Last, because pictures may have to be fetched.
    initial = None if start is None else await pictures.read(fields, start)
    hint = None if steering is None else await pictures.read(fields, steering)
    return replace(
        generation,
        controls=tuple(replace(item, image=None if hint is initial else hint) for item in items),
        image=initial,
        mask=None if mask is None else await pictures.read(fields, mask),
        strength=strength,
        keep_unmasked=merging,
    )


def steering_of(fields: Strict, route: Route) -> str:
    """Name of the field with the control's picture, for errors."""
    return _sources(fields, route)[0] or "image"


def _items(fields: Strict, dialled: Dialled, name: str, offer: Offer, family: modality.Family) -> Sequence[Control]:
    """The controls, without pictures."""
    maps = fields.flag("disableModalityDetection") or family.takes_maps
    weight = 1.0 if dialled.weight is None else fields.number(dialled.weight)
    wanted = modality.Wanted(dialled.modality, name, not maps, weight)
    items = modality.read(fields.required(dialled.modality), offer, wanted, fields.remarks)
    start = fields.number("controlStart")
    end = None if fields.raw("controlEnd") is None else fields.number("controlEnd", 1.0)
    if end is not None and end < start:
        raise wrong("controlEnd", f"at least controlStart, which is {start:g}", end)
    return [
        Control(
            kind=item.kind,
            image=b"",
            auto_hint=not maps,
            weight=item.weight,
            start=start,
            end=max(start, _usual_end(item.kind, name, offer, family)) if end is None else end,
        )
        for item in items
    ]


def _usual_end(kind: str, name: str, offer: Offer, family: modality.Family) -> float:
    """The default end of a control; what the model reads without a ControlNet can't end."""
    return 1.0 if kind == offer.own_control(name) else family.control_end(kind)


def _sources(fields: Strict, route: Route) -> tuple[str | None, str | None, str | None]:
    """Names of the fields with the control's picture, the initial picture, and the mask; None for none.

    Raises:
        InvalidInput: one that the route requires is missing.
    """
    control, image, mask = (first(fields, *names) for names in (CONTROL_PICTURES, PICTURES, MASKS))
    if route.controlled and not route.starts:
        # A client of the vendor's sends the control's picture as `image` here.
        control = control or image
    if route.controlled and control is None:
        raise missing(*CONTROL_PICTURES)
    if route.starts and image is None:
        raise missing("image")
    if route.masked and mask is None:
        raise missing(*MASKS)
    return (
        control if route.controlled else None,
        image if route.starts else None,
        mask if route.masked else None,
    )


def _unused(fields: Strict, used: set[str | None]) -> Iterator[str]:
    """Remarks about pictures that this route does not use, except for alternative names of used ones."""
    for names in (CONTROL_PICTURES, PICTURES, MASKS):
        name = first(fields, *names)
        if name is not None and not used & set(names):
            yield no_use(name)


def _scheduler(fields: Strict, offer: Offer) -> str | None:
    """Name of an available scheduler; None for the model's own."""
    asked = fields.text("scheduler")
    entry = offer.scheduler(asked or SCHEDULER)
    if entry is not None and not entry.inverts:
        return entry.name
    if asked and not any(asked.strip().lower() in (known.lower(), known.lower().removesuffix("scheduler"))
                         for known in SCHEDULERS):  # fmt: skip
        names = ", ".join(one.name for one in offer.schedulers if not one.inverts)
        found = meant("scheduler", asked, [one.name for one in offer.schedulers if not one.inverts])
        question = f"did you mean {found}? " if found else ""
        raise InvalidInput(f'"scheduler" {asked[:80]!r} is unknown; {question}available: {names}', field="scheduler")
    if asked:
        fields.remarks.append(f"scheduler {asked} is not available; the model's own was used.")
    return None


def _seed(fields: Strict) -> int | None:
    """The seed, a number or a number as text; None for a random one. It is echoed as text."""
    value: Any = fields.raw("seed")
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = seeds.whole(value)
    if number == -1:
        return None
    if number is None or number < 0:
        raise wrong("seed", f"{seeds.EXPECTED} from 0, or such a number as a string", value)
    fields.tell("seed", str(number))
    return seeds.kept("seed", number, fields.remarks)


def _samples(fields: Strict) -> int:
    """Number of pictures. A request for more than the maximum gets the maximum, with a remark."""
    asked = fields.whole("numSamples")
    most = int(SAMPLES.maximum)
    if asked > most:
        fields.remarks.append(f"numSamples was set to {most}, the maximum of one request; send several for more.")
        fields.tell("numSamples", most)
    return min(asked, most)
