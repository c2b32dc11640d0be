"""Parses the Scenario dialect's detect requests: the control map that a detector extracts from a picture.

Source: the vendor's SDK. Its list of names differs from that of the modalities.
"""

import re
from collections.abc import Mapping

from controlmesh.v1 import preprocess_pb2
from families.limits import Range
from gateway.dialects.common.strict import Strict
from gateway.dialects.scenario.declared import PICTURES, THRESHOLDS
from gateway.dialects.scenario.pictures import Reader, first, missing
from gateway.generation.catalogue import Offer
from gateway.generation.generation import Control, Generation
from mesh.errors import InvalidInput

KINDS: Mapping[str, str] = {
    "canny": "canny",
    "depth": "depth",
    "grayscale": "gray",
    "lineart_anime": "lineart_anime",
    "mlsd": "mlsd",
    "normal": "normal",
    "pose": "openpose",
    "scribble": "scribble",
    "segmentation": "segmentation",
    "sketch": "scribble",
}
_HUMP = re.compile(r"(?=[A-Z])")


async def read(fields: Strict, offer: Offer, pictures: Reader) -> Generation:
    """The canonical request for the hint. Parameters that the detector lacks are added to the remarks of `fields`.

    Raises:
        InvalidInput: naming the vendor's field.
    """
    name = fields.required("modality").strip().lower()
    known = {control.kind: control for control in offer.controls}
    usable = [spoken for spoken, kind in KINDS.items() if kind in known and known[kind].extractable]
    if name not in usable:
        why = "has no loaded detector here" if name in KINDS else "is not a detector"
        raise InvalidInput(
            f'"modality" {name[:80]!r} {why}; available: {", ".join(usable) or "none"}', field="modality"
        )
    kind = KINDS[name]
    parameters = _parameters(fields, {one.name: one for one in known[kind].parameters})
    if fields.flag("removeBackground"):
        fields.remark("removeBackground")
    image = first(fields, *PICTURES)
    if image is None:
        raise missing("image")
    control = Control(kind=kind, image=await pictures.read(fields, image), parameters=parameters)
    return Generation(prompt="", controls=(control,))


def _parameters(fields: Strict, known: Mapping[str, preprocess_pb2.ControlParameter]) -> dict[str, float]:
    """The detector's parameters by the mesh's names, which are the vendor's in another case style."""
    wanted = {}
    for name in THRESHOLDS:
        if fields.raw(name) is None:
            continue
        parameter = known.get(_HUMP.sub("_", name).lower())
        if parameter is None:
            fields.remarks.append(f"{name} was not applied: this detector does not have that parameter.")
            continue
        limits = Range(parameter.minimum, parameter.maximum)
        wanted[parameter.name] = fields.number(name, parameter.default_value, limits)
    return wanted
