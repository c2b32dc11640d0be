"""The enterprise vendor's documented requests and answers, replayed against the whole mesh with the demo model.

What a pair needs of its gateway (settings, slow or failing rooms) only the contract tests can give; all others are
here, with pictures of the demo's size in few steps.
"""

import json
from typing import Any

import pytest
import requests

from local.supervision import LocalMesh
from tests.contract.pairing import FOLDER, filled, load, misfits

PAIRS = [pair for pair in load("enterprise") if not pair.get("settings") and not pair.get("rooms")]
SHAPES = json.loads((FOLDER / "shapes.json").read_text())
OF_ANOTHER_MESH = (
    # A local mesh takes its own model for an unknown one.
    "error: unknown model",
    "error: a model_id that is a path",
    # This one has two models, all schedulers and no ControlNet for soft edges.
    "system_details",
    "get_all_models",
    "model_list",
    "schedulers_list",
    "controlnet: several controls",
    # Its picture is made larger than the others here.
    "text2img: version 7's proportions",
)
SENT = {"width": 128, "height": 128, "num_inference_steps": 4, "samples": 1}
TOLD = {"W": 128, "H": 128, "steps": 4}


def small(value: Any, numbers: dict[str, int]) -> Any:
    """`value` with these numbers where it has some, text where it has text."""
    if isinstance(value, list):
        return [small(one, numbers) for one in value]
    if not isinstance(value, dict):
        return value
    fitting = {name for name, one in value.items() if name in numbers and isinstance(one, int | float | str)}
    return {name: type(one)(numbers[name]) if name in fitting else small(one, numbers) for name, one in value.items()}


def ask(mesh: LocalMesh, pair: dict[str, Any], path: str, known: dict[str, Any]) -> tuple[int, Any]:
    body = small(filled(pair.get("send"), known, SHAPES), SENT)
    url = mesh.url + filled(path, known, SHAPES)
    answer = requests.request(pair.get("method", "POST"), url, json=body, headers=pair.get("headers"), timeout=120)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("pair", "path"),
    [
        pytest.param(pair, path, id=f"{pair['name']} {path}")
        for pair in PAIRS
        if pair["name"] not in OF_ANOTHER_MESH
        for path in pair["paths"]
    ],
)
def test_the_documented_answer(mesh: LocalMesh, pair: dict[str, Any], path: str) -> None:
    known: dict[str, Any] = {}
    for before in pair.get("first", ()):
        _, answer = ask(mesh, before, before["path"], known)
        known |= {name: answer[theirs] for name, theirs in before["keep"].items()}
    status, answer = ask(mesh, pair, path, known)
    wrong = misfits(small(filled(pair["answer"], known, SHAPES), TOLD), answer)
    assert not wrong and status == pair.get("status", 200), (status, wrong)
