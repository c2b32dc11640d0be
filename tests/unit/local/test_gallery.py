"""The gallery: what is asked of a mesh, and the page that its answers become."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from controlmesh_client import Client, ControlMeshError
from local import gallery_page
from local.gallery import MODEL, READY, VARIANTS, Case, Kind, Result, cases, gallery
from local.gallery_inputs import SIZE, inputs
from mesh.pictures import decode, encode
from preprocess_svc.annotators import Annotators
from preprocess_svc.controls import CONTROLS
from preprocess_svc.extraction.control import Algorithm, Written

DRAWN = ("canny", "depth", "inpaint")
NOTE = "made by a stand-in"


def listed() -> dict[str, Any]:
    """The controls of a mesh without annotators, as its list tells them."""

    def extractor(one: Any) -> dict[str, Any]:
        missing = one.missing(Annotators())
        parameters = [{"name": p.name, "default_value": p.default} for p in one.parameters]
        return {
            "name": one.name,
            "description": one.description,
            "source": one.source,
            "available": not missing,
            "how_to_get": missing,
            "stand_in": isinstance(one, Algorithm) and one.stand_in,
            "reads_text": isinstance(one, Written),
            "parameters": parameters,
        }

    rows = [
        {
            "kind": control.kind,
            "description": control.description,
            "extractors": [extractor(one) for one in control.extractors],
            "models": [MODEL] if control.kind in DRAWN else [],
            "reads_mask": control.reads_mask,
        }
        for control in CONTROLS.values()
    ]
    return {"controls": rows}


class AnsweringMesh:
    """Speaks the native API: hints are grey, pictures are pink, and what has no annotator is refused."""

    def __init__(self) -> None:
        self.hints: list[dict[str, Any]] = []
        self.generations: list[dict[str, Any]] = []
        self._available = {(row["kind"], one["name"]): one for row in listed()["controls"] for one in row["extractors"]}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.removeprefix("/controlmesh/v1")
        if path == "/controls":
            return httpx2.Response(200, json=listed())
        if request.method == "GET":
            return httpx2.Response(200, content=encode(np.full((128, 128, 3), (255, 0, 200), np.uint8)))
        body = json.loads(request.content)
        if path == "/generations":
            self.generations.append(body)
            image = {"url": "/asset.png", "seed": body["seed"], "width": body["width"], "height": body["height"]}
            told = {"id": "g", "status": "succeeded", "images": [image], "notes": [], "error": None, "request": body}
            return httpx2.Response(200, json=told)
        assert path == "/hints"
        self.hints.append(body)
        extractor = self._available.get((body["kind"], body.get("extractor", "")), {})
        if extractor.get("how_to_get"):
            return httpx2.Response(400, json={"detail": f"can't: {extractor['how_to_get']}"})
        file = base64.b64encode(encode(np.full((SIZE, SIZE, 3), 90, np.uint8))).decode()
        answer = {
            "image": f"data:image/png;base64,{file}",
            "service_ms": 12.3,
            "annotator": None,
            "notes": [NOTE] if extractor.get("stand_in") else [],
        }
        return httpx2.Response(200, json=answer)


@pytest.fixture
def mesh() -> AnsweringMesh:
    return AnsweringMesh()


@pytest.fixture
def sections(mesh: AnsweringMesh) -> list[tuple[Kind, list[Result]]]:
    with Client("http://mesh", transport=httpx2.MockTransport(mesh)) as client:
        return gallery(client)


def test_every_kind_and_extractor_is_asked_for_with_every_input(
    mesh: AnsweringMesh, sections: list[tuple[Kind, list[Result]]]
) -> None:
    asked = {(body["kind"], body.get("extractor", "")) for body in mesh.hints}
    expected = {(control.kind, one.name) for control in CONTROLS.values() for one in control.extractors}
    assert asked == expected | {(kind, "") for kind in READY}
    pictures = {body["image"] for body in mesh.hints if body["kind"] == "canny"}
    assert len(pictures) == len(inputs()) == 4
    assert all(body["mask"] for body in mesh.hints if body["kind"] == "inpaint")
    assert not any("mask" in body for body in mesh.hints if body["kind"] == "canny")
    assert [body["auto_hint"] for body in mesh.hints if body["kind"] in READY].count(False) == 1
    assert not any("image" in body for body in mesh.hints if "text" in body)
    for (kind, extractor), parameters in VARIANTS.items():
        (row,) = (one for one in CONTROLS[kind].extractors if one.name == extractor)
        assert row.settle(kind, parameters) != row.settle(kind, {}), f"{kind}: a variant must differ from the defaults"


def test_pictures_are_made_of_the_same_controls_where_the_model_has_one(
    mesh: AnsweringMesh, sections: list[tuple[Kind, list[Result]]]
) -> None:
    kinds = [body["controls"][0]["kind"] for body in mesh.generations]
    assert set(kinds) == {"canny", "inpaint"}  # depth has a ControlNet, but no annotator here
    assert {body["seed"] for body in mesh.generations} == {7}
    hints = {(body["kind"], body["image"], json.dumps(body["parameters"])) for body in mesh.hints if "image" in body}
    for body in mesh.generations:
        (control,) = body["controls"]
        assert (control["kind"], control["image"], json.dumps(control["parameters"])) in hints
    for kind, results in sections:
        for result in results:
            assert len(result.pictures) == (len(result.hints) if kind.name in DRAWN else 0)


def test_the_page_shows_every_kind_and_every_error(tmp_path: Path, sections: list[tuple[Kind, list[Result]]]) -> None:
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "gone-kind.webp").write_bytes(b"old")
    text = gallery_page.write(tmp_path, inputs(), sections).read_text()
    assert re.findall(r"^## (\S+)$", text, re.MULTILINE) == list(CONTROLS)
    for control in CONTROLS.values():
        assert control.description in text
        for extractor in control.extractors:
            if missing := extractor.missing(Annotators()):
                assert f"> can't: {missing}" in text
            if isinstance(extractor, Algorithm) and extractor.stand_in:
                assert f"### {extractor.name} (stand-in)" in text
    assert f"- {NOTE}" in text
    assert "### text (from words)" in text
    assert "### ready hint\n" in text
    assert "low_threshold 40, high_threshold 90" in text
    shown = set(re.findall(r"\(gallery/([^)]+)\)", text))
    assert {path.name for path in (tmp_path / "gallery").iterdir()} == shown
    rows = {name: decode((tmp_path / "gallery" / name).read_bytes()).shape[0] for name in shown}
    assert rows["canny-canny.webp"] > 1.9 * SIZE > rows["gray-luma.webp"] >= SIZE


def test_a_row_tells_its_annotator_and_its_median_time() -> None:
    about = "Knows rendered solids."
    extractor = {"name": "model", "description": "Nearness.", "source": "Somebody", "annotator_description": about}
    kind = Kind("depth", "Grey.", ({**extractor, "parameters": [{"name": "detail", "default_value": 0.5}]},), True)
    hint = np.zeros((SIZE, SIZE, 3), np.uint8)
    result = Result(Case("depth", "model", {"detail": 2}), (hint,) * 3, (900, 11.4, 12.6), "demo")
    text = gallery_page.page(inputs(), [(kind, [result])])
    assert f"Nearness. After Somebody. Parameters: detail 2. Annotator: `demo`: {about} Time: 13 ms." in text
    assert "![model: detail 2](gallery/depth-model-detail-2.webp)" in text


def test_a_failure_of_the_mesh_ends_it_in_its_own_words() -> None:
    def broken(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(503, text="not ready")

    with (
        Client("http://mesh", transport=httpx2.MockTransport(broken), sleep=lambda seconds: None) as client,
        pytest.raises(ControlMeshError, match="503: not ready"),
    ):
        gallery(client)


def test_variants_of_what_is_missing_are_not_asked_for() -> None:
    extractor = {"name": "model", "available": False, "stand_in": False, "reads_text": False}
    kind = Kind("normal", "Directions.", (extractor,), drawn=False)
    assert ("normal", "model") in VARIANTS
    assert list(cases(kind)) == [Case("normal", "model")]


def test_inputs_are_the_same_every_time_and_pictures_of_the_right_size() -> None:
    first = [one.picture.copy() for one in inputs()]
    inputs.cache_clear()
    for one, before in zip(inputs(), first, strict=True):
        np.testing.assert_array_equal(one.picture, before)
        assert one.picture.shape == (SIZE, SIZE, 3)
        assert 0.05 < (one.mask > 0).mean() < 0.6
    drawn = inputs()[2].picture
    assert (drawn > 200).mean() > 0.7 and (drawn < 60).any()
