"""Documented requests and answers as data: how a pair is replayed against a gateway, and when an answer fits.

A pair is an object in a JSON file of the folder `pairs`:

- `name`; `paths`, each of which must answer alike; `method`, POST unless it says otherwise;
- `send`: the body, or null for none; `headers`;
- `settings` of the gateway; `rooms`: `slow` (a loop stops after its first step) or `failing`;
- `first`: pairs that are replayed before, without paths of their own being compared; what their answers have under the
  names in `keep` fills `{name}` in later paths and bodies;
- `status` and `answer`; `strict`: the status where the deployment wants one that tells, with the same answer.

In bodies `{"$like": name, ...}` is the object of that name in shapes.json with those changes; `$picture` and `$mask`
are pictures as base64. In answers text that begins with `$` names a kind of value (see KINDS); everything else must be
the same, type and all, and objects must have exactly these keys.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mesh.errors import Unavailable
from tests.contract.conftest import Running
from tests.contract.enterprise_client import MASK, PICTURE, SENT

FOLDER = Path(__file__).parent / "pairs"
_URL = re.compile(
    r"https?://[^/]+/controlmesh/v1/assets/[0-9a-f]{32}\.(png|jpeg|webp)(\.base64)?(\?expires=\d+&signature=\w+)?"
)
_FILLED = {"$picture": PICTURE, "$mask": SENT[MASK]}


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and _URL.fullmatch(value) is not None


KINDS: Mapping[str, Callable[[Any], bool]] = {
    "$int": _is_int,
    "$id": lambda value: _is_int(value) and 10_000_000 <= value <= 999_999_999,
    "$seed": lambda value: _is_int(value) and 0 <= value < 2**32,
    "$number": lambda value: _is_int(value) or isinstance(value, float),
    "$float": lambda value: isinstance(value, float),
    "$text": lambda value: isinstance(value, str) and value != "",
    "$url": _is_url,
    "$urls": lambda value: isinstance(value, list) and len(value) > 0 and all(map(_is_url, value)),
    "$fetch": lambda value: (
        isinstance(value, str) and re.fullmatch(r"http://[^/]+/api/.*/fetch/\d+", value) is not None
    ),
    "$us_date": lambda value: (
        isinstance(value, str) and re.fullmatch(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d", value) is not None
    ),
    "$asset": lambda value: isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}\.\w+", value) is not None,
}


def load(prefix: str) -> list[dict[str, Any]]:
    """All pairs of the files whose names begin with `prefix`."""
    return [pair for path in sorted(FOLDER.glob(f"{prefix}*.json")) for pair in json.loads(path.read_text())]


def misfits(expected: Any, got: Any, at: str = "answer") -> list[str]:
    """Where `got` is not what was `expected`; empty if it fits."""
    if isinstance(expected, str) and expected.startswith("$"):
        return [] if KINDS[expected](got) else [f"{at} is no {expected}: {got!r}"]
    if isinstance(expected, dict) and isinstance(got, dict):
        wrong = [f"{at} has {name!r}" for name in got.keys() - expected.keys()]
        wrong += [f"{at} lacks {name!r}" for name in expected.keys() - got.keys()]
        shared = expected.keys() & got.keys()
        return wrong + [one for name in sorted(shared) for one in misfits(expected[name], got[name], f"{at}.{name}")]
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got, strict=True))
        return [one for index, (e, g) in pairs for one in misfits(e, g, f"{at}[{index}]")]
    same = type(expected) is type(got) and expected == got
    return [] if same else [f"{at} is {got!r}, not {expected!r}"]


def filled(value: Any, known: Mapping[str, Any], shapes: Mapping[str, Any]) -> Any:
    """`value` with its shapes, pictures and kept values in their places."""
    if isinstance(value, dict):
        own = {name: filled(one, known, shapes) for name, one in value.items() if name != "$like"}
        return {**filled(shapes[value["$like"]], known, shapes), **own} if "$like" in value else own
    if isinstance(value, list):
        return [filled(one, known, shapes) for one in value]
    if not isinstance(value, str):
        return value
    if value[1:-1] in known and value == f"{{{value[1:-1]}}}":
        # With its own type.
        return known[value[1:-1]]
    for name, one in known.items():
        value = value.replace(f"{{{name}}}", str(one))
    return _FILLED.get(value, value)


async def replay(mesh: Running, pair: Mapping[str, Any], status: int) -> None:
    """Send what the pair says to each of its paths.

    Raises:
        AssertionError: an answer does not fit; says where.
    """
    shapes = json.loads((FOLDER / "shapes.json").read_text())
    if pair.get("rooms") == "failing":
        mesh.rooms.failure = Unavailable("the model server does not answer")
    for path in pair["paths"]:
        known: dict[str, Any] = {}
        for before in pair.get("first", ()):
            _, answer = await _sent(mesh, before, before["path"], known, shapes)
            known |= {name: answer[theirs] for name, theirs in before["keep"].items()}
        if pair.get("rooms") == "slow":
            mesh.rooms.pace.clear()
        got_status, answer = await _sent(mesh, pair, path, known, shapes)
        wrong = misfits(filled(pair["answer"], known, shapes), answer)
        assert not wrong and got_status == status, (path, got_status, wrong)


async def _sent(
    mesh: Running, pair: Mapping[str, Any], path: str, known: Mapping[str, Any], shapes: Mapping[str, Any]
) -> tuple[int, Any]:
    path = filled(path, known, shapes)
    body = filled(pair.get("send"), known, shapes)
    asking = mesh.http.request(pair.get("method", "POST"), path, json=body, headers=pair.get("headers"))
    async with asking as response:
        return response.status, await response.json(content_type=None)
