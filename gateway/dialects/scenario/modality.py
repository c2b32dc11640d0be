"""The Scenario dialect's modalities: their grammar, and the kinds of the mesh that they stand for.

    modality := item ("," item)*
    item     := name [":" weight]      weight: above 0, up to 1; 1 where none is given

A preset must stand alone; it means several modalities at once, all with its weight. Those that the model has no
ControlNet for are left out, with a remark.

Source: the vendor's reference of its ControlNet routes (names and numbers of each family) and its article on signature
modes: city is edges, depth and segmentation; character is depth and pose; landscape is structure and segmentation. The
article does not describe interior; here it is city without segmentation.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.generation.catalogue import Offer
from gateway.generation.foreign import choices
from gateway.generation.refusals import Refusal
from mesh.errors import InvalidInput


@dataclass(frozen=True)
class Family:
    """What the vendor's API accepts for a family of models.

    Attributes:
        type: the vendor's name of the family.
        names: its modalities.
        presets: its presets.
        most: maximum number of modalities in a request.
        guidance: default guidance scale.
        takes_maps: whether control pictures are always treated as maps.
    """

    type: str
    names: tuple[str, ...]
    presets: tuple[str, ...]
    most: int
    guidance: float
    takes_maps: bool = False

    def control_end(self, kind: str) -> float:
        """Default end of a control of `kind`; the vendor ends those of its flux models early."""
        if not self.takes_maps:
            return 1.0
        return 0.5 if kind == "canny" else 0.6


_SD15 = Family(
    type="sd-1_5",
    names=("canny", "pose", "depth", "lines", "seg", "scribble", "lineart", "normal-map", "illusion"),
    presets=("character", "landscape", "city", "interior"),
    most=3,
    guidance=7.5,
)
FAMILIES: Mapping[str, Family] = {
    "sd15": _SD15,
    "sdxl": Family(
        type="sd-xl",
        names=("canny", "pose", "depth", "seg", "illusion", "scribble"),
        presets=("character", "landscape"),
        most=3,
        guidance=6.0,
    ),
    "flux": Family(
        type="flux.1",
        names=("canny", "tile", "depth", "blur", "pose", "gray", "low-quality", "sketch"),
        presets=(),
        most=1,
        guidance=3.5,
        takes_maps=True,
    ),
}
# The vendor's names -> kinds of the mesh, the best first: later ones have hints for the same ControlNets.
KINDS: Mapping[str, tuple[str, ...]] = {
    "canny": ("canny",),
    "pose": ("openpose",),
    "depth": ("depth",),
    "lines": ("mlsd", "softedge", "hed"),
    "seg": ("segmentation",),
    "scribble": ("scribble",),
    "sketch": ("scribble",),
    "lineart": ("lineart",),
    "normal-map": ("normal",),
    "illusion": ("illusion", "qrcode"),
    "tile": ("tile",),
    "blur": ("blur",),
    "gray": ("gray",),
    "low-quality": ("low_quality",),
}
# Other spellings in the vendor's guides.
ALIASES = {"openpose": "pose", "normal": "normal-map", "segmentation": "seg"}
PRESETS: Mapping[str, tuple[str, ...]] = {
    "character": ("depth", "pose"),
    "landscape": ("canny", "seg"),
    "city": ("lines", "depth", "seg"),
    "interior": ("lines", "depth"),
}
_ITEM = re.compile(r"([a-z0-9-]{1,40})(?::(\d{1,3}(?:\.\d{0,20})?|\.\d{1,20}))?")


@dataclass(frozen=True)
class Item:
    """One control: its kind in the mesh and its weight."""

    kind: str
    weight: float


@dataclass(frozen=True)
class Wanted:
    """What decides whether a modality is available.

    Attributes:
        field: name of the field that is read, for errors.
        model: name of a loaded model.
        extracting: whether hints are extracted from the picture.
        weight: weight of items without their own.
    """

    field: str
    model: str
    extracting: bool
    weight: float = 1.0


def family_of(offer: Offer, model: str) -> Family:
    """The family of a loaded model; families that the vendor does not have count as its oldest."""
    loaded = offer.model(model)
    return FAMILIES.get(loaded.family, _SD15) if loaded else _SD15


def read(text: str, offer: Offer, wanted: Wanted, remarks: list[str]) -> tuple[Item, ...]:
    """Parse `text` into controls. Parts of a preset that are not available are added to `remarks`.

    Raises:
        InvalidInput: the syntax, a name, a weight or the number of items is wrong, or there is no ControlNet for it.
    """
    family = family_of(offer, wanted.model)
    named = [_item(wanted, part) for part in text.split(",")]
    if any(name in PRESETS for name, _ in named):
        return _preset(named, offer, wanted, family, remarks)
    if len(named) > family.most:
        raise InvalidInput(
            f'"{wanted.field}" names {len(named)} modalities; models of this family take at most {family.most}',
            field=wanted.field,
        )
    return tuple(Item(_kind(name, offer, wanted, family), weight) for name, weight in named)


def available(offer: Offer, model: str) -> list[str]:
    """Names of the modalities and presets that `model` supports, at least with ready maps."""
    family, loaded = family_of(offer, model), offer.model(model)
    usable = set(loaded.controls) if loaded else set()
    names = [name for name, kinds in KINDS.items() if usable & set(kinds)]
    return names + [name for name in family.presets if set(PRESETS[name]) & set(names)]


def spoken(kinds: tuple[str, ...]) -> list[str]:
    """The vendor's names of kinds, or the mesh's if the vendor has none."""
    return list(dict.fromkeys(next((name for name, means in KINDS.items() if kind in means), kind) for kind in kinds))


def _item(wanted: Wanted, part: str) -> tuple[str, float]:
    found = _ITEM.fullmatch(part.strip().lower().replace("_", "-"))
    if found is None:
        raise InvalidInput(
            f'"{wanted.field}" has {part.strip()[:60]!r}, which is not a modality; write name or name:weight, several '
            "of them with commas between, as in canny:0.5,depth",
            field=wanted.field,
        )
    name, weight = found[1], wanted.weight if found[2] is None else float(found[2])
    if not 0 < weight <= 1:
        raise InvalidInput(
            f'"{wanted.field}" gives {name} the weight {weight:g}; it must be above 0 and at most 1', field=wanted.field
        )
    return ALIASES.get(name, name), weight


def _preset(
    named: list[tuple[str, float]], offer: Offer, wanted: Wanted, family: Family, remarks: list[str]
) -> tuple[Item, ...]:
    if len(named) > 1:
        raise InvalidInput(f'"{wanted.field}" names a preset, which must stand alone', field=wanted.field)
    ((preset, weight),) = named
    if preset not in family.presets:
        raise _unknown(preset, offer, wanted)
    found, missing = [], []
    for name in PRESETS[preset]:
        kind = next((kind for kind in KINDS[name] if not _refusal(kind, offer, wanted)), None)
        if kind is None:
            missing.append(name)
        else:
            found.append(Item(kind, weight))
    if not found:
        refusal = _refusal(KINDS[PRESETS[preset][0]][0], offer, wanted)
        assert refusal is not None
        raise _refused(preset, refusal, wanted)
    if missing:
        remarks.append(f"{preset} was made without {' and '.join(missing)}, which this model does not support here.")
    return tuple(found)


def _kind(name: str, offer: Offer, wanted: Wanted, family: Family) -> str:
    # In addition to the family's names: every kind that the loaded model has a ControlNet for.
    kinds = KINDS.get(name) or ((name.replace("-", "_"),) if any(c.kind == name for c in offer.controls) else ())
    if not kinds:
        raise _unknown(name, offer, wanted)
    refusals = []
    for kind in kinds:
        refusal = _refusal(kind, offer, wanted)
        if refusal is None:
            return kind
        refusals.append(refusal)
    first = next((refusal for refusal in refusals if refusal.ready_taken), refusals[0])
    if name not in family.names and not first.ready_taken:
        raise _unknown(name, offer, wanted)
    raise _refused(name, first, wanted)


def _refusal(kind: str, offer: Offer, wanted: Wanted) -> Refusal | None:
    return offer.refusal(wanted.model, kind, wanted.extracting)


def _refused(name: str, refusal: Refusal, wanted: Wanted) -> InvalidInput:
    ways = ["send a ready map with disableModalityDetection true"] if refusal.ready_taken else []
    known = tuple(kind for kind in refusal.kinds if any(kind in means for means in KINDS.values()))
    why = refusal.sentence(spoken(known), *ways, sent=name)
    return refusal.error(f'"{wanted.field}" {name!r} is not available: {why}', wanted.field)


def _unknown(name: str, offer: Offer, wanted: Wanted) -> InvalidInput:
    end = choices("kind", name, available(offer, wanted.model), "it takes")
    return InvalidInput(f'"{wanted.field}" {name!r} is not supported by this model{end}', field=wanted.field)
