"""Every control type by every extractor on the same pictures, asked of a running mesh over HTTP."""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import numpy as np

from local.gallery_inputs import SIZE, Input, inputs
from mesh.pictures import Pixels, decode, encode

CONTROLS = "/controlmesh/v1/controls"
HINTS = "/controlmesh/v1/hints"
GENERATIONS = "/controlmesh/v1/generations"

WORDS = "controlmesh"
MODEL = "demo"
# Of the model that the pictures are made with.
_PICTURE_SIZE = 128
_GENERATION = {
    "model": MODEL,
    "width": _PICTURE_SIZE,
    "height": _PICTURE_SIZE,
    "steps": 20,
    "guidance_scale": 3.0,
    "scheduler": "UniPCMultistepScheduler",
    "seed": 7,
}

#: (kind, extractor) -> parameters worth a row of their own beside the defaults.
VARIANTS: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("canny", "canny"): {"low_threshold": 40, "high_threshold": 90},
    ("scribble", "drawing"): {"xdog_threshold": 32},
    ("softedge", "pidinet"): {"scribble": 1},
    ("normal", "model"): {"red_front": 1},
    ("tile", "resample"): {"factor": 8},
    ("blur", "gaussian"): {"sigma": 3},
    ("mlsd", "lsd"): {"minimum_length": 0.15},
}
#: Kinds whose ready hint is shown, too: a dark drawing on white.
READY = ("scribble",)


class GalleryError(Exception):
    """The mesh did not answer as it should; the message is its own."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One control type as the mesh lists it; `drawn` where MODEL has a ControlNet for it."""

    name: str
    description: str
    extractors: tuple[Mapping[str, Any], ...]
    drawn: bool
    reads_mask: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the gallery: what is asked of every input.

    Attributes:
        kind: control kind.
        extractor: its name; "" for a ready hint.
        parameters: the extractor's, those that are not its defaults.
        label: "stand-in", "from words", "ready hint", or "" for the rest.
    """

    kind: str
    extractor: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What the mesh answered to a case.

    Attributes:
        hints: UINT8 [SIZE, SIZE, 3] an input; empty where it refused.
        milliseconds: the service's, an input.
        annotator: name of the model that found them; "" for none.
        notes: remarks, each once.
        pictures: what MODEL made under each hint; empty where it has no ControlNet of the kind.
        error: why there are none.
    """

    case: Case
    hints: tuple[Pixels, ...] = ()
    milliseconds: tuple[float, ...] = ()
    annotator: str = ""
    notes: tuple[str, ...] = ()
    pictures: tuple[Pixels, ...] = ()
    error: str = ""


def listed(client: httpx2.Client) -> list[Kind]:
    """Every control type of the mesh, in its order. Raises GalleryError."""
    rows = _json(client.get(CONTROLS))["controls"]
    return [
        Kind(row["kind"], row["description"], tuple(row["extractors"]), MODEL in row["models"], row["reads_mask"])
        for row in rows
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


def made(client: httpx2.Client, kind: Kind, case: Case) -> Result:
    """The hints of a case on every input, and the pictures that they lead to.

    Raises GalleryError where the mesh fails; a refusal is a result.
    """
    shown = inputs()
    if case.label == "from words":
        shown = shown[:1]
    elif case.label == "ready hint":
        shown = tuple(one for one in shown if one.name == "drawing")
    answers = []
    for one in shown:
        answer = client.post(HINTS, json={**_control(kind, case, one), "width": SIZE, "height": SIZE}, headers=_AS_JSON)
        if answer.status_code in (400, 422):
            return Result(case, error=answer.json()["detail"])
        answers.append(_json(answer))
    return Result(
        case,
        hints=tuple(decode(base64.b64decode(answer["image"].partition(",")[2])) for answer in answers),
        milliseconds=tuple(answer["service_ms"] for answer in answers),
        annotator=answers[0]["annotator"] or "",
        notes=tuple(dict.fromkeys(note for answer in answers for note in answer["notes"])),
        pictures=tuple(
            _picture(client, _control(kind, case, one), one.repainted if kind.reads_mask else one.prompt)
            for one in (shown if kind.drawn else ())
        ),
    )


def gallery(client: httpx2.Client, told: Callable[[Case], None] = lambda case: None) -> list[tuple[Kind, list[Result]]]:
    """Everything: each kind with its results. told(case) before each. Raises GalleryError."""
    sections = []
    for kind in listed(client):
        results = []
        for case in cases(kind):
            told(case)
            results.append(made(client, kind, case))
        sections.append((kind, results))
    return sections


_AS_JSON = {"Accept": "application/json"}


def _control(kind: Kind, case: Case, one: Input) -> dict[str, Any]:
    control: dict[str, Any] = {"kind": case.kind, "parameters": dict(case.parameters)}
    if case.label == "from words":
        return control | {"extractor": case.extractor, "text": WORDS}
    control |= {"image": _base64(one.picture), "auto_hint": case.label != "ready hint"}
    if case.extractor:
        control["extractor"] = case.extractor
    if kind.reads_mask:
        control["mask"] = _base64(one.mask)
    return control


def _picture(client: httpx2.Client, control: Mapping[str, Any], prompt: str) -> Pixels:
    """One generated picture, brought to SIZE without smoothing."""
    body = {**_GENERATION, "prompt": prompt, "controls": [control]}
    record = _json(client.post(GENERATIONS, params={"wait": 120}, json=body))
    if record["status"] != "succeeded":
        raise GalleryError(f"{control['kind']}: {record['status']}, {record['error']}")
    file = client.get(record["images"][0]["url"]).raise_for_status()
    scale = SIZE // _PICTURE_SIZE
    return np.kron(decode(file.content), np.ones((scale, scale, 1), np.uint8))


def _json(answer: httpx2.Response) -> Any:
    if answer.status_code != 200:
        raise GalleryError(f"{answer.request.url.path} answered {answer.status_code}: {answer.text[:500]}")
    return answer.json()


def _base64(picture: Pixels) -> str:
    return base64.b64encode(encode(picture)).decode()
