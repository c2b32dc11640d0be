"""The enterprise dialect's names of control kinds, and the kinds of the mesh that they stand for.

Source: the vendor's lists of its ControlNet endpoints, 2023 to 2026, some of which use other spellings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from families.limits import MOST_CONTROLS
from gateway.dialects.common.lenient import Lenient
from gateway.dialects.enterprise.fields import missing
from gateway.generation.catalogue import Offer
from gateway.generation.refusals import Refusal
from mesh.errors import InvalidInput

# The vendor's kinds -> kinds of the mesh, the best first: later ones have hints for the same ControlNets.
KINDS: Mapping[str, tuple[str, ...]] = {
    "canny": ("canny",),
    "depth": ("depth",),
    "tile": ("tile",),
    "blur": ("blur",),
    "pose": ("openpose",),
    "openpose": ("openpose",),
    "hed": ("hed", "softedge"),
    "softedge": ("softedge", "hed"),
    "mlsd": ("mlsd",),
    "lineart": ("lineart",),
    "normal": ("normal",),
    "segmentation": ("segmentation",),
    "scribble": ("scribble",),
    "inpaint": ("inpaint",),
    "shuffle": ("shuffle",),
    "qrcode": ("qrcode", "illusion"),
    "face_detector": ("face",),
    "gray": ("gray",),
    "low_quality": ("low_quality",),
}
ALIASES: Mapping[str, tuple[str, ...]] = {
    "illusion": ("illusion", "qrcode"),
    "grey": ("gray",),
    "face": ("face",),
    "seg": ("segmentation",),
    "soft_edge": ("softedge", "hed"),
    "line_art": ("lineart",),
    "in_paint": ("inpaint",),
    "qr_code": ("qrcode", "illusion"),
}
_MEANT = {**KINDS, **ALIASES}
# "Multi ControlNet does not apply" to the vendor's FLUX models.
MOST: Mapping[str, int] = {"flux": 1}
"""Family of models -> controls of one request, where that is less than for others."""
# Kinds of the vendor that the mesh does not have.
WITHOUT_TYPE = frozenset({"aesthetic_controlnet", "ip2p"})


# Kinds of the mesh -> the vendor's names, where they differ, for errors.
_NAMES = {"face": "face_detector"}


@dataclass(frozen=True)
class Wanted:
    """What decides whether a kind is available.

    Attributes:
        model: name of a loaded model.
        auto_hint: whether hints are to be extracted.
        text: text to make the hint from, for kinds that support it; "" for none.
    """

    model: str
    auto_hint: bool
    text: str

    def refusal(self, offer: Offer, kind: str) -> Refusal | None:
        """Why controls of `kind` are not available; None if they are."""
        written = bool(self.text) and offer.reads_text(kind)
        return offer.refusal(self.model, kind, self.auto_hint and not written)


def read(fields: Lenient, offer: Offer, wanted: Wanted) -> list[str]:
    """The requested control kinds, in order. `controlnet_type` counts if `controlnet_model` is missing or not a kind.

    Deviations from what was sent are added to the remarks of `fields`.

    Raises:
        InvalidInput: none, too many, or one that is not available; the message says why and lists the available ones.
    """
    places = fields.places("controlnet_model", "controlnet_type")
    if not places:
        raise missing("controlnet_model")
    if None in places:
        raise InvalidInput(
            f"controlnet_model names no control in place {places.index(None) + 1}; name one there, or leave out the "
            "comma and what belongs to that place",
            field="controlnet_model",
        )
    named = [name for name in places if name is not None]
    most = MOST.get(offer.family(wanted.model), MOST_CONTROLS)
    if len(named) > most:
        taken = (
            f"at most {most} are taken" if most > 1 else f"multi ControlNet does not apply to {wanted.model}: name one"
        )
        raise InvalidInput(f"controlnet_model names {len(named)} controls; {taken}", field="controlnet_model")
    types = fields.words("controlnet_type")
    first = next(iter(types), "")
    kinds = [_kind(fields, offer, wanted, name, "" if index else first) for index, name in enumerate(named)]
    if fields.words("controlnet_model") and not _agree(offer, wanted.model, types, named, kinds):
        fields.remarks.append(
            f"controlnet_type {','.join(types)[:80]!r} was not used: it is not what controlnet_model names."
        )
    return kinds


def _agree(offer: Offer, model: str, types: Sequence[str], named: Sequence[str], kinds: Sequence[str]) -> bool:
    """Whether each of `types` means one of the controls, or may: the caller's own model can take any hints."""
    own = any(_plain(name) not in _MEANT for name in named)
    meant = {type: _meant(offer, model, type) for type in types if type not in named}
    return len(types) <= len(kinds) and all(
        any(kind in kinds for kind in means) or (own and means) for means in meant.values()
    )


def taken_by(fields: Lenient, offer: Offer, controlnet: str, name: str) -> str:
    """The control kind of a ControlNet that is to be loaded.

    It is derived from the type in the request, else from the source or the new name.

    Args:
        fields: fields of the request.
        offer: the catalogue's offer.
        controlnet: its hub id or folder.
        name: its new name.

    Raises:
        InvalidInput: it can't be derived, or the kind is unknown; or the name is that of another kind.
    """
    known = [control.kind for control in offer.controls]
    asked = next(iter(fields.words("controlnet_type")), "")
    kinds = [kind for kind in _MEANT.get(_plain(asked or name), (asked,)) if kind in known]
    kinds = kinds or ([] if asked else offer.kinds_of(controlnet))
    if not kinds:
        names = ", ".join(kind for kind in KINDS if any(meant in known for meant in KINDS[kind]))
        why = f"{asked[:80]!r} is unknown" if asked else "is needed to know which hints the ControlNet takes"
        raise InvalidInput(f"controlnet_type {why}; known: {names}", field="controlnet_type")
    if name != kinds[0] and (name in known or _plain(name) in _MEANT) and not _came_later(offer, name):
        raise InvalidInput(f"model_id {name!r} is the name of a control kind; choose another name", field="model_id")
    return kinds[0]


def _came_later(offer: Offer, name: str) -> bool:
    """Whether `name` is that of a ControlNet that was loaded separately."""
    return _plain(name) not in _MEANT and any(name in model.controls for model in offer.models)


def _kind(fields: Lenient, offer: Offer, wanted: Wanted, name: str, type: str) -> str:
    plain = _plain(name)
    kinds = _meant(offer, wanted.model, name)
    if not kinds and type and plain not in WITHOUT_TYPE:
        # The caller's own control model: the type says which hints it takes.
        kinds = _meant(offer, wanted.model, type)
    refusals = []
    for kind in kinds or (name,):
        refusal = wanted.refusal(offer, kind)
        if refusal is None:
            if kind != name and kind != _MEANT.get(plain, ("",))[0]:
                fields.remarks.append(
                    f"controlnet_model {name[:80]!r} is not loaded under that name; the one for {kind} was used."
                )
            return kind
        refusals.append(refusal)
    first = replace(refusals[0], reason="the mesh has no such control type") if plain in WITHOUT_TYPE else refusals[0]
    ways = ["send a ready hint as control_image with auto_hint no"] if first.ready_taken else []
    why = first.sentence([_NAMES.get(kind, kind) for kind in first.kinds], *ways, sent=name)
    raise first.error(f"controlnet_model {name[:80]!r} is not available here: {why}", "controlnet_model")


def _meant(offer: Offer, model: str, name: str) -> Sequence[str]:
    """Kinds for `name`, the best first: `name` is a kind's name or a ControlNet's hub id; empty if unknown."""
    plain, loaded = _plain(name), offer.model(model)
    if kinds := _MEANT.get(plain):
        return kinds
    if any(control.kind == name for control in offer.controls) or (loaded and name in loaded.controls):
        return (name,)
    return offer.kinds_of(name)


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")
