"""Examples of the API's pages: what a pair says, with a sample in place of everything that it leaves open."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.examples import CONTRACT, PICTURE, SAMPLES, files, of
from tests.rigs.pairs import FILLED, filled, load, misfits

DIALECTS = sorted(path.parent.name for path in CONTRACT.glob("*/shown.json"))


def written(folder: Path, pair: dict[str, Any], **samples: Any) -> Path:
    """A contract of one dialect with one pair, which is shown."""
    (folder / "some" / "pairs").mkdir(parents=True)
    (folder / "some" / "pairs" / "all.json").write_text(json.dumps([{"name": "one", **pair}]))
    (folder / "some" / "pairs" / "shapes.json").write_text('{"shape": {"a": 1, "b": 2}}')
    shown = {
        "operations": {"POST /": {"requests": {"one": ""}, "answers": {"200": "one"}}},
        "kept": {"id": 7},
        "samples": samples,
    }
    (folder / "some" / "shown.json").write_text(json.dumps(shown))
    return folder


def answer(folder: Path) -> Any:
    return json.loads(of("some", folder))["POST /"]["answers"]["200"]


def test_every_dialect_has_examples() -> None:
    assert list(files()) == [f"gateway/dialects/{name}/examples.json" for name in DIALECTS]
    assert set(DIALECTS) == {pair["dialect"] for pair in load()}


@pytest.mark.parametrize("name", DIALECTS)
def test_what_is_shown_is_what_its_pair_says(name: str) -> None:
    shown = json.loads((CONTRACT / name / "shown.json").read_text())
    pairs = {pair["name"]: pair for pair in load() if pair["dialect"] == name}
    size = str(SAMPLES["$png_bytes"])
    made = json.loads(of(name).replace(size, str(FILLED["$png_bytes"])))
    for operation, chosen in shown["operations"].items():
        for status, pair in chosen.get("answers", {}).items():
            called, *number = [pair] if isinstance(pair, str) else pair
            step = pairs[called]["then"][number[0]] if number else pairs[called]
            assert step.get("status", 200) == int(status), operation
            expected = filled(step["answer"], shown["kept"])
            assert misfits(expected, made[operation]["answers"][status]) == [], operation
    assert "$" not in of(name)


def test_shapes_samples_and_kept_names_stand_in_their_places(tmp_path: Path) -> None:
    pair = {
        "send": {"$like": "shape", "b": "$picture", "id": "{id}", "words": "no. {id}"},
        "answer": {
            "list": {"$every": {"$like": "shape", "a": "$int"}},
            "known?": "$text",
            "unknown?": "$text",
            "which": {"$any_of": [None, "b"]},
            "other": {"$any_of": [None, "b"]},
            "named": {"$matches": "x_\\d+"},
        },
    }
    contract = written(tmp_path, pair, **{"list.a": 3, "known": "yes", "which": "b", "x_\\d+": "x_1"})
    assert answer(contract) == {
        "list": [{"a": 3, "b": 2}],
        "known": "yes",
        "which": "b",
        "other": None,
        "named": "x_1",
    }
    requests = json.loads(of("some", contract))["POST /"]["requests"]
    assert requests == {"one": {"summary": "one", "value": {"a": 1, "b": PICTURE, "id": 7, "words": "no. 7"}}}


@pytest.mark.parametrize("left_open", ["$int", {"$matches": "x_\\d+"}])
def test_what_has_no_sample_is_named(tmp_path: Path, left_open: Any) -> None:
    with pytest.raises(LookupError, match=r"one: there is no sample for .* at way\.to"):
        answer(written(tmp_path, {"send": {}, "answer": {"way": {"to": left_open}}}))
    with pytest.raises(LookupError, match="there is no sample"):
        answer(written(tmp_path / "2", {"send": {}, "answer": {"a": {"$matches": "x"}}}, a="y"))
