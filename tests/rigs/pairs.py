"""Documented requests and answers as data: what a pair says, and when an answer fits.

A pair is an object in a JSON file of the folder `tests/contract/<dialect>/pairs`:

- `name`; `paths`, each of which must answer alike;
- `method`, POST unless it says otherwise; `headers`, null for one that is not sent at all; the body: `send`, JSON, or
  `raw`, text or one of CONTENTS, or nothing;
- `answer`: a picture is shown as its format and size, a stream of events as lists by the events' names, no body as
  null; `status`, 200 unless it says otherwise; `type`, the Content-Type, JSON's unless it says otherwise;
  `answer_headers` as far as they matter, null for one that must not be there;
- `first` and `then`: what is sent before and after, steps of the same form with one `path` each; a text is the name of
  the steps in preparations.json. Answers are compared where a step has an `answer`;
- `keep`: names for what an answer has, by the way to it with dots between, which fill `{name}` in all that comes later;
- `until`: in `then`, what must stand at which way for the answer to be the last; it is asked for again until then;
- `webhook`: the body that the receiver at `{hook}` is sent when all is done;
- `settings` of the gateway; `fresh`: it must not have served others; `rooms`: `slow` (nothing is finished) or `away`;
- `only_fakes`, `only_mesh`: why it can't be replayed against the demo model, or against the rooms in small;
- `strict`: the status where the deployment wants one that tells, with the same answer.

In bodies `{"$like": name, ...}` is the object of that name in one of the files of shapes with those changes; `$picture`
and its like (FILLED) are pictures. `{url}` is a picture's address. In answers everything must be the same, type and
all, and objects must have exactly these keys, but for those with a question mark at their end, which may be missing.
Text that begins with `$` names a kind of value (KINDS), and so do objects with one key: `$matches`, a regular
expression; `$every`, what all of a list's entries, at least one, look like; `$some`, what one of them looks like;
`$any_of`, a list of what it may be.
"""

import base64
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mesh.pictures import encode

Pair = dict[str, Any]
Kind = Callable[[Any], bool]

CONTRACT = Path(__file__).parents[1] / "contract"


def _square(level: int, width: int = 64) -> bytes:
    """A light square on a ground of `level`: hints of flat pictures are empty, and a note says so."""
    pixels = np.full((64, width, 3), level, np.uint8)
    pixels[16:48, 16:48] = 255
    return encode(pixels)


PNG = _square(0, 96)
CONTENTS: Mapping[str, bytes] = {
    "$png": PNG,
    "$first_half": PNG[: len(PNG) // 2],
    "$second_half": PNG[len(PNG) // 2 :],
}
_SENT = {"picture": PNG, "control": _square(20), "other": _square(9), "mask": _square(0)}
_BASE64 = {name: base64.b64encode(content).decode() for name, content in _SENT.items()}
FILLED: Mapping[str, Any] = {
    "$png_bytes": len(PNG),
    **{f"${name}": content for name, content in _BASE64.items()},
    **{f"${name}_url": f"data:image/png;base64,{content}" for name, content in _BASE64.items()},
}


def _shapes() -> dict[str, Any]:
    return {
        name: shape
        for path in CONTRACT.glob("*/pairs/shapes.json")
        for name, shape in json.loads(path.read_text()).items()
    }


SHAPES = _shapes()
PREPARATIONS: Mapping[str, list[Pair]] = json.loads((CONTRACT / "pairs" / "preparations.json").read_text())


def load() -> list[Pair]:
    """All pairs, each with its `dialect`."""
    files = [path for path in sorted(CONTRACT.glob("*/pairs/*.json")) if path.stem != "shapes"]
    pairs = [(path.parents[1].name, pair) for path in files for pair in json.loads(path.read_text())]
    return [{"dialect": dialect, **filled(pair, {})} for dialect, pair in pairs]


def steps(pair: Pair, when: str) -> list[Pair]:
    """What is sent before (`first`) or after (`then`) the pair itself."""
    named = [PREPARATIONS[step] if isinstance(step, str) else [step] for step in pair.get(when, ())]
    return [filled(step, {}) for several in named for step in several]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(pattern: str) -> Kind:
    known = re.compile(pattern, re.DOTALL | re.MULTILINE)
    return lambda value: isinstance(value, str) and known.fullmatch(value) is not None


def _is_png(value: Any) -> bool:
    content = base64.b64decode(value.removeprefix("data:image/png;base64,"), validate=True)
    return pictured(content)["format"] == "PNG"


_ASSET = r"https?://[^/]+/controlmesh/v1/assets/[0-9a-f]{32}\.(png|jpeg|webp)(\.base64)?"
_SIGNATURE = r"\?expires=\d+&signature=[\w-]+"
_is_url = _text(f"{_ASSET}({_SIGNATURE})?")
KINDS: Mapping[str, Kind] = {
    "$int": _is_int,
    "$id": lambda value: _is_int(value) and 10_000_000 <= value <= 999_999_999,
    "$seed": lambda value: _is_int(value) and 0 <= value < 2**32,
    "$number": lambda value: _is_int(value) or isinstance(value, float),
    "$float": lambda value: isinstance(value, float),
    "$bool": lambda value: isinstance(value, bool),
    "$text": lambda value: isinstance(value, str) and value != "",
    "$words": lambda value: isinstance(value, str),
    "$list": lambda value: isinstance(value, list),
    "$object": lambda value: isinstance(value, dict),
    "$url": _is_url,
    "$urls": lambda value: isinstance(value, list) and len(value) > 0 and all(map(_is_url, value)),
    "$signed_url": _text(_ASSET + _SIGNATURE),
    "$fetch": _text(r"http://[^/]+/api/.*/fetch/\d+"),
    "$us_date": _text(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d"),
    "$moment": _text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00"),
    "$millisecond": _text(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    "$asset": _text(r"[0-9a-f]{32}\.\w+"),
    "$hex": _text("[0-9a-f]{32}"),
    "$sha256": _text("[0-9a-f]{64}"),
    "$job_id": _text("job_[0-9a-f]{32}"),
    "$asset_id": _text("asset_[0-9a-f]{32}"),
    "$upload_id": _text("upload_[0-9a-f]{32}"),
    "$part_url": _text(r"https?://[^/]+/controlmesh/v1/uploads/[^?]+" + _SIGNATURE),
    "$png_base64": lambda value: isinstance(value, str) and not value.startswith("data:") and _is_png(value),
    "$png_url": lambda value: isinstance(value, str) and value.startswith("data:image/png;base64,") and _is_png(value),
}


def pictured(content: bytes) -> dict[str, Any]:
    """What an answer that is a picture is compared by."""
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        return {"format": picture.format, "width": picture.width, "height": picture.height}


def misfits(expected: Any, got: Any, at: str = "answer") -> list[str]:
    """Where `got` is not what was `expected`; empty if it fits."""
    if isinstance(expected, str) and expected.startswith("$"):
        return [] if KINDS[expected](got) else [f"{at} is no {expected}: {got!r}"]
    if isinstance(expected, dict) and len(expected) == 1 and next(iter(expected)) in _KINDS_WITH:
        ((name, how),) = expected.items()
        return _KINDS_WITH[name](how, got, at)
    if isinstance(expected, dict) and isinstance(got, dict):
        known = {name.removesuffix("?"): one for name, one in expected.items()}
        wrong = [f"{at} has {name!r}" for name in sorted(got.keys() - known.keys())]
        wrong += [f"{at} lacks {name!r}" for name in expected if not name.endswith("?") and name not in got]
        shared = known.keys() & got.keys()
        return wrong + [one for name in sorted(shared) for one in misfits(known[name], got[name], f"{at}.{name}")]
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got, strict=True))
        return [one for index, (e, g) in pairs for one in misfits(e, g, f"{at}[{index}]")]
    same = type(expected) is type(got) and expected == got
    return [] if same else [f"{at} is {got!r}, not {expected!r}"]


def _matches(pattern: str, got: Any, at: str) -> list[str]:
    return [] if _text(pattern)(got) else [f"{at} is no {pattern!r}: {got!r}"]


def _every(expected: Any, got: Any, at: str) -> list[str]:
    if not isinstance(got, list) or not got:
        return [f"{at} is no list with something in it: {got!r}"]
    return [one for index, entry in enumerate(got) for one in misfits(expected, entry, f"{at}[{index}]")]


def _some(expected: Any, got: Any, at: str) -> list[str]:
    if isinstance(got, list) and any(not misfits(expected, entry) for entry in got):
        return []
    return [f"{at} has nothing like {expected!r}: {got!r}"]


def _any_of(expected: list[Any], got: Any, at: str) -> list[str]:
    return [] if any(not misfits(one, got) for one in expected) else [f"{at} is none of {expected!r}: {got!r}"]


_KINDS_WITH: Mapping[str, Callable[[Any, Any, str], list[str]]] = {
    "$matches": _matches,
    "$every": _every,
    "$some": _some,
    "$any_of": _any_of,
}


def at(body: Any, way: str) -> Any:
    """What stands at the end of `way`."""
    for step in way.split("."):
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


def filled(value: Any, known: Mapping[str, Any]) -> Any:
    """`value` with its shapes, pictures and kept values in their places."""
    if isinstance(value, dict):
        own = {name: filled(one, known) for name, one in value.items() if name != "$like"}
        return {**filled(SHAPES[value["$like"]], known), **own} if "$like" in value else own
    if isinstance(value, list):
        return [filled(one, known) for one in value]
    if not isinstance(value, str):
        return value
    if value[1:-1] in known and value == f"{{{value[1:-1]}}}":
        # With its own type.
        return known[value[1:-1]]
    for name, one in known.items():
        value = value.replace(f"{{{name}}}", str(one))
    return FILLED.get(value, value)
