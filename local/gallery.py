"""Collect the hints of every control type by every extractor on the same pictures, from a running mesh over HTTP."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from controlmesh_client import Client, Invalid, Malformed
from local.gallery_inputs import SIZE, Input, inputs
from mesh.pictures import Pixels, decode, encode

WORDS = "controlmesh"
MODEL = "demo"
# Size of the pictures that MODEL makes, pixels.
_PICTURE_SIZE = 128
_PICTURE_S = 120.0
_GENERATION: dict[str, Any] = {
    "model": MODEL,
    "width": _PICTURE_SIZE,
    "height": _PICTURE_SIZE,
    "steps": 20,
    "guidance_scale": 3.0,
    "scheduler": "UniPCMultistepScheduler",
    "seed": 7,
}

#: (kind, extractor) -> parameters that get an additional row.
VARIANTS: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("canny", "canny"): {"low_threshold": 40, "high_threshold": 90},
    ("scribble", "drawing"): {"xdog_threshold": 32},
    ("softedge", "pidinet"): {"scribble": 1},
    ("normal", "model"): {"red_front": 1},
    ("tile", "resample"): {"factor": 8},
    ("blur", "gaussian"): {"sigma": 3},
    ("mlsd", "lsd"): {"minimum_length": 0.15},
}
#: Kinds that also get a row with a ready hint: a dark drawing on white.
READY = ("scribble",)


@dataclass(frozen=True, slots=True)
class Kind:
    """One control type as the mesh lists it; `drawn` if MODEL has a ControlNet for it."""

    name: str
    description: str
    extractors: tuple[Mapping[str, Any], ...]
    drawn: bool
    reads_mask: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the gallery: the request that is made for every input.

    Attributes:
        kind: control kind.
        extractor: its name; "" for a ready hint.
        parameters: those of the extractor that differ from its defaults.
        label: "stand-in", "from words", "ready hint", or "" for the rest.
    """

    kind: str
    extractor: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """The mesh's answers to a case.

    Attributes:
        hints: UINT8 [SIZE, SIZE, 3] for each input; empty if the mesh refused.
        milliseconds: time in the service, for each input.
        annotator: name of the model that found them; "" for none.
        notes: the service's notes, without duplicates.
        pictures: MODEL's picture for each hint; empty if it has no ControlNet of the kind.
        error: why there are no hints.
    """

    case: Case
    hints: tuple[Pixels, ...] = ()
    milliseconds: tuple[float, ...] = ()
    annotator: str = ""
    notes: tuple[str, ...] = ()
    pictures: tuple[Pixels, ...] = ()
    error: str = ""


def listed(mesh: Client) -> list[Kind]:
    """List every control type of the mesh, in its order. Raises ControlMeshError."""
    return [
        Kind(row["kind"], row["description"], tuple(row["extractors"]), MODEL in row["models"], row["reads_mask"])
        for row in mesh.controls()["controls"]
    ]


def cases(kind: Kind) -> Iterator[Case]:
    """The rows of a kind: each extractor with its defaults, then with a variant, then a ready hint."""
    for extractor in kind.extractors:
        name = extractor["name"]
        label = "from words" if extractor["reads_text"] else "stand-in" if extractor["stand_in"] else ""
        yield Case(kind.name, name, label=label)
        if (variant := VARIANTS.get((kind.name, name))) and extractor["available"]:
            yield Case(kind.name, name, variant, label)
    if kind.name in READY:
        yield Case(kind.name, "", label="ready hint")


def made(mesh: Client, kind: Kind, case: Case) -> Result:
    """Make the hints of a case for every input, and the pictures that they control.

    Raises ControlMeshError if the mesh fails; the refusal of a hint is a result.
    """
    shown = inputs()
    if case.label == "from words":
        shown = shown[:1]
    elif case.label == "ready hint":
        shown = tuple(one for one in shown if one.name == "drawing")
    try:
        hints = [mesh.hint(**_control(kind, case, one), width=SIZE, height=SIZE) for one in shown]
    except (Invalid, Malformed) as refused:
        return Result(case, error=refused.detail)
    return Result(
        case,
        hints=tuple(decode(hint.bytes) for hint in hints),
        milliseconds=tuple(hint.answer["service_ms"] for hint in hints),
        annotator=hints[0].annotator,
        notes=tuple(dict.fromkeys(note for hint in hints for note in hint.notes)),
        pictures=tuple(
            _picture(mesh, _control(kind, case, one), one.repainted if kind.reads_mask else one.prompt)
            for one in (shown if kind.drawn else ())
        ),
    )


def gallery(mesh: Client, report: Callable[[Case], None] = lambda case: None) -> list[tuple[Kind, list[Result]]]:
    """Collect the gallery: each kind with its results; calls report(case) before each. Raises ControlMeshError."""
    sections = []
    for kind in listed(mesh):
        results = []
        for case in cases(kind):
            report(case)
            results.append(made(mesh, kind, case))
        sections.append((kind, results))
    return sections


def _control(kind: Kind, case: Case, one: Input) -> dict[str, Any]:
    control: dict[str, Any] = {"kind": case.kind, "parameters": dict(case.parameters)}
    if case.label == "from words":
        return control | {"extractor": case.extractor, "text": WORDS}
    control |= {"image": encode(one.picture), "auto_hint": case.label != "ready hint"}
    if case.extractor:
        control["extractor"] = case.extractor
    if kind.reads_mask:
        control["mask"] = encode(one.mask)
    return control


def _picture(mesh: Client, control: Mapping[str, Any], prompt: str) -> Pixels:
    """Generate one picture and enlarge it to SIZE without smoothing."""
    generation = mesh.generate(prompt, [control], timeout_s=_PICTURE_S, **_GENERATION)
    scale = SIZE // _PICTURE_SIZE
    return np.kron(decode(generation[0].bytes), np.ones((scale, scale, 1), np.uint8))
