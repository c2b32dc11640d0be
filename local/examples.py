"""The examples of the API's pages, made from the golden pairs: what is shown is what is tested.

`tests/contract/<dialect>/shown.json` chooses them. It has `operations`, by method and path, each with `requests`, the
names of pairs with what is said of them if that is not the name, and `answers`, by status the name of a pair, or that
name and the number of a step that comes after it; `samples`, what stands in place of a kind of value, by the end of the
way to it or by its regular expression; and `kept`, what stands in place of a name that a pair keeps. What comes of it
is the gateway's `gateway/dialects/<dialect>/examples.json`.
"""

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from local.processes import ROOT

CONTRACT = ROOT / "tests" / "contract"
# A white square on black, 64x64: short, and yet a picture, so that what is shown can be sent.
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQAAAACCEkxzAAAAG0lEQVR42mNgGHTg/////xsYmGDcUQZWxiABAMVbBL3XAp4yAAAAAElFTkSuQmCC"
)
PICTURE_URL = f"data:image/png;base64,{PICTURE}"
_HEX = "5f1d2c3b4a59687706f5e4d3c2b1a090"
_FILE = "2c9a4b7d81e06f53a2b4c6d8e0f1a3b5.png"
_LINK = f"http://127.0.0.1:8080/controlmesh/v1/assets/{_FILE}"
_SIGNED = "?expires=1769947200&signature=mZ3k"
SAMPLES: Mapping[str, Any] = {
    **dict.fromkeys(("$picture", "$control", "$other", "$mask", "$png_base64"), PICTURE),
    **dict.fromkeys(("$picture_url", "$control_url", "$other_url", "$mask_url", "$png_url"), PICTURE_URL),
    "$png_bytes": 4408,
    "$bool": True,
    "$words": "",
    "$list": [],
    "$object": {},
    "$seed": 7,
    "$moment": "2026-01-31T12:00:00.000000+00:00",
    "$millisecond": "2026-01-31T12:00:00.000Z",
    "$hex": _HEX,
    "$sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "$asset": _FILE,
    "$url": _LINK,
    "$signed_url": _LINK + _SIGNED,
    "$job_id": f"job_{_HEX}",
    "$asset_id": f"asset_{_FILE.removesuffix('.png')}",
    "$upload_id": f"upload_{_HEX}",
    "$part_url": f"http://127.0.0.1:8080/controlmesh/v1/uploads/{_HEX}/parts/1{_SIGNED}",
}
"""What stands in place of a kind of value where the dialect says nothing else."""


class _Dialect:
    """The pairs of one dialect, and what stands in place of what they leave open."""

    def __init__(self, folder: Path) -> None:
        self.shown = json.loads((folder / "shown.json").read_text())
        # Shapes of all dialects have names of their own.
        self._shapes: dict[str, Any] = {}
        for path in folder.parent.glob("*/pairs/shapes.json"):
            self._shapes |= json.loads(path.read_text())
        files = [path for path in (folder / "pairs").glob("*.json") if path.stem != "shapes"]
        self._pairs = {pair["name"]: pair for path in files for pair in json.loads(path.read_text())}

    def request(self, name: str) -> Any:
        """What the pair called `name` sends."""
        return self._sample(self._laid_out(self._pairs[name]["send"]), name)

    def answer(self, chosen: str | list[Any]) -> Any:
        """What the pair that is `chosen`, or a step after it, is answered with."""
        name, *number = [chosen] if isinstance(chosen, str) else chosen
        step = self._pairs[name]["then"][number[0]] if number else self._pairs[name]
        return self._sample(self._laid_out(step["answer"]), name)

    def _laid_out(self, value: Any) -> Any:
        """`value` with its shapes in their places."""
        if isinstance(value, dict):
            own = {name: self._laid_out(one) for name, one in value.items() if name != "$like"}
            return {**self._laid_out(self._shapes[value["$like"]]), **own} if "$like" in value else own
        return [self._laid_out(one) for one in value] if isinstance(value, list) else value

    def _sample(self, value: Any, pair: str, way: tuple[str, ...] = ()) -> Any:
        """`value` with a sample in place of everything that it leaves open.

        Raises:
            LookupError: there is none.
        """
        if isinstance(value, list):
            return [self._sample(one, pair, way) for one in value]
        if isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$"):
            return self._chosen(*value.popitem(), pair, way)
        if isinstance(value, dict):
            # What an answer may have is shown where there is a sample of it.
            wanted = {name: one for name, one in value.items() if name[-1] != "?" or self._known((*way, name[:-1]))}
            return {
                name.removesuffix("?"): self._sample(one, pair, (*way, name.removesuffix("?")))
                for name, one in wanted.items()
            }
        if not isinstance(value, str):
            return value
        if value.startswith("$"):
            known = self._known(way)
            if not known and value not in SAMPLES:
                raise LookupError(f"{pair}: there is no sample for {value} at {'.'.join(way)}")
            return known[0] if known else SAMPLES[value]
        kept = self.shown["kept"]
        # Alone with its own type.
        alone = re.fullmatch(r"{(\w+)}", value)
        return kept[alone[1]] if alone else re.sub(r"{(\w+)}", lambda name: str(kept[name[1]]), value)

    def _chosen(self, how: str, what: Any, pair: str, way: tuple[str, ...]) -> Any:
        if how in ("$every", "$some"):
            return [self._sample(what, pair, way)]
        known = self._known(way)
        if how == "$any_of":
            return known[0] if known else self._sample(what[0], pair, way)
        sample = known[0] if known else self.shown["samples"].get(what)
        if not isinstance(sample, str) or not re.fullmatch(what, sample, re.DOTALL | re.MULTILINE):
            raise LookupError(f"{pair}: there is no sample for {what!r} at {'.'.join(way)}")
        return sample

    def _known(self, way: tuple[str, ...]) -> list[Any]:
        """The dialect's sample for what stands at the end of `way`; of several the one for the longest end of it."""
        samples = self.shown["samples"]
        ends = (".".join(way[first:]) for first in range(len(way)))
        return [samples[end] for end in ends if end in samples][:1]


def of(name: str, contract: Path = CONTRACT) -> str:
    """The file of the examples of the dialect called `name`, whose pairs stand under `contract`.

    Raises:
        LookupError: a pair, or a sample for what one leaves open, is missing; says which.
    """
    dialect = _Dialect(contract / name)
    operations = {
        operation: {
            "requests": {
                pair: {"summary": words or pair, "value": dialect.request(pair)}
                for pair, words in chosen.get("requests", {}).items()
            },
            "answers": {status: dialect.answer(pair) for status, pair in chosen.get("answers", {}).items()},
        }
        for operation, chosen in dialect.shown["operations"].items()
    }
    return json.dumps(operations, indent=1, ensure_ascii=False) + "\n"


def files() -> dict[str, partial[str]]:
    """What writes each file of examples, by its path from the root."""
    names = sorted(path.parent.name for path in CONTRACT.glob("*/shown.json"))
    return {f"gateway/dialects/{name}/examples.json": partial(of, name) for name in names}
