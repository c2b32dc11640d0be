"""POST /controlmesh/v1/hints: one hint as a picture or as JSON, several as JSON, and what is refused."""

import asyncio
import base64
from typing import Any

import numpy as np
import pytest

from mesh.errors import Overloaded
from mesh.pictures import check, decode, encode
from tests.contract.conftest import Running
from tests.contract.native.test_api import API
from tests.rigs.offer import HINT_SECONDS, UNLOADED

PICTURE = encode(np.full((64, 96, 3), 50, np.uint8))
SENT = base64.b64encode(PICTURE).decode()
CANNY = {"kind": "canny", "image": SENT}


async def ask(mesh: Running, body: Any, accept: str | None = None) -> tuple[int, str, bytes]:
    """Status, content type and body of the answer."""
    headers = {} if accept is None else {"Accept": accept}
    async with mesh.http.post(f"{API}/hints", json=body, headers=headers) as response:
        return response.status, response.headers["content-type"], await response.read()


async def answer(mesh: Running, body: Any) -> dict[str, Any]:
    async with mesh.http.post(f"{API}/hints", json=body, headers={"Accept": "application/json"}) as response:
        told: dict[str, Any] = await response.json(content_type=None)
        assert response.status == 200, told
    return told


async def refusal(mesh: Running, body: Any, status: int = 422) -> dict[str, Any]:
    async with mesh.http.post(f"{API}/hints", json=body) as response:
        told: dict[str, Any] = await response.json(content_type=None)
        assert response.status == status, told
        assert response.headers["content-type"] == "application/problem+json"
    return told


@pytest.mark.parametrize("accept", [None, "*/*", "image/png", "image/*", "image/png, application/json;q=0.5"])
async def test_a_hint_is_a_picture_unless_json_is_asked_for(mesh: Running, accept: str | None) -> None:
    status, media_type, content = await ask(mesh, {**CANNY, "width": 128, "height": 64}, accept)
    assert (status, media_type) == (200, "image/png")
    assert check(content) == ("PNG", 128, 64)
    (extracted,) = mesh.rooms.seen.extracted
    assert (extracted.control.kind, extracted.control.image.content) == ("canny", PICTURE)
    assert (extracted.width, extracted.height, extracted.short_side) == (128, 64, 0)
    assert extracted.control.auto_hint
    assert "x-request-id" in mesh.rooms.seen.metadata[-1]


async def test_as_json_it_comes_with_its_size_and_time(mesh: Running) -> None:
    told = await answer(mesh, {**CANNY, "short_side": 64, "parameters": {"low_threshold": 5}, "auto_hint": False})
    assert set(told) == {
        "image", "width", "height", "kind", "extractor", "annotator", "notes", "service_ms", "duration_ms",
    }  # fmt: skip
    assert (told["kind"], told["width"], told["height"]) == ("canny", 96, 64)
    assert (told["extractor"], told["annotator"], told["notes"]) == (None, None, ["fitted to 96 × 64"])
    assert told["service_ms"] == 1000 * HINT_SECONDS and told["duration_ms"] > 0
    assert decode(base64.b64decode(told["image"].removeprefix("data:image/png;base64,"))).shape == (64, 96, 3)
    (extracted,) = mesh.rooms.seen.extracted
    assert dict(extracted.control.parameters) == {"low_threshold": 5}
    assert not extracted.control.auto_hint


async def test_the_answer_says_what_made_the_hint(mesh: Running) -> None:
    found = await answer(mesh, {"kind": "softedge", "image": SENT})
    assert (found["extractor"], found["annotator"], found["notes"]) == ("pidinet", "demo", [])
    crude = await answer(mesh, {"kind": "depth", "image": SENT, "extractor": "lightness"})
    assert (crude["extractor"], crude["annotator"]) == ("lightness", None)
    assert crude["notes"] == ["made by the stand-in 'lightness'"], "of which control needs no saying"


async def test_words_make_a_hint_without_a_picture(mesh: Running) -> None:
    told = await answer(mesh, {"kind": "qrcode", "text": "a b", "short_side": 256})
    assert (told["extractor"], told["width"], told["height"]) == ("words", 256, 256)
    (extracted,) = mesh.rooms.seen.extracted
    assert (extracted.control.text, extracted.control.HasField("image")) == ("a b", False)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"kind": "softedge"}, {"Extractor": "pidinet", "Annotator": "demo"}),
        ({"kind": "canny"}, {"Extractor": "canny"}),
        ({"kind": "canny", "auto_hint": False}, {"Notes": '["fitted to 192 \\u00d7 128"]'}),
        (
            {"kind": "depth", "extractor": "lightness"},
            {"Extractor": "lightness", "Notes": "[\"made by the stand-in 'lightness'\"]"},
        ),
    ],
)
async def test_a_picture_says_the_same_in_headers(mesh: Running, body: Any, told: dict[str, str]) -> None:
    async with mesh.http.post(f"{API}/hints", json={**body, "image": SENT}) as response:
        assert response.status == 200
        names = ("Extractor", "Annotator", "Notes")
        found = {name: response.headers.get(f"X-ControlMesh-{name}") for name in names}
        assert {name: value for name, value in found.items() if value is not None} == told
        entries = dict(entry.split(";dur=") for entry in response.headers["Server-Timing"].split(", "))
        assert set(entries) == {"hint", "total"} and float(entries["hint"]) == 1000 * HINT_SECONDS


async def test_sixteen_at_once(mesh: Running) -> None:
    told = await answer(mesh, {"hints": [{**CANNY, "width": 64, "height": 64}] * 16})
    assert len(told["hints"]) == 16


async def test_several_are_made_side_by_side_and_come_in_order(mesh: Running) -> None:
    mesh.rooms.hints_at_once = asyncio.Barrier(3)
    wanted = [{**CANNY, "width": side, "height": 64} for side in (64, 72, 80)]
    told = await asyncio.wait_for(answer(mesh, {"hints": wanted}), 5)
    assert [hint["width"] for hint in told["hints"]] == [64, 72, 80]
    assert told["duration_ms"] >= max(hint["duration_ms"] for hint in told["hints"])


async def test_a_mask_goes_with_the_kinds_that_read_one(mesh: Running) -> None:
    await answer(mesh, {"kind": "inpaint", "image": SENT, "mask": SENT})
    assert mesh.rooms.seen.extracted[0].control.mask.content == PICTURE
    assert (await refusal(mesh, {"kind": "inpaint", "image": SENT}))["field"] == "mask"
    assert (await refusal(mesh, {**CANNY, "mask": SENT}))["field"] == "mask"


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"kind": None}, "kind", "missing"),
        ({"kind": "telepathy"}, "kind", "known: canny"),
        ({"kind": 7}, "kind", "a name"),
        ({"kind": "../etc"}, "kind", "a name"),
        ({"image": None}, "image", "missing"),
        ({"image": "no base64!"}, "image", "image"),
        ({"image": 7}, "image", "image"),
        ({"width": 128}, "height", "missing: width"),
        ({"height": 128}, "width", "missing: height"),
        ({"width": 100, "height": 65}, "width", "64 to 2048"),
        ({"width": 64, "height": 64, "short_side": 64}, "short_side", "be combined with width and height"),
        ({"short_side": 2056}, "short_side", "64 to 2048"),
        ({"short_side": True}, "short_side", "not true"),
        ({"auto_hint": "yes"}, "auto_hint", "true or false"),
        ({"parameters": []}, "parameters", "an object"),
        ({"parameters": {"hue": 1}}, "parameters.hue", "has no parameter"),
        ({"parameters": {"low_threshold": "5"}}, "parameters.low_threshold", "a number"),
        ({"colour": 1}, "colour", "not a field"),
        ({"extractor": ""}, "extractor", "a name"),
        ({"extractor": "sobel"}, "extractor", "it has: canny"),
        ({"kind": "depth"}, "auto_hint", UNLOADED["depth"]),
        ({"text": "words"}, "text", "leave one of them out"),
        ({"image": None, "text": "words"}, "text", "can't be made from text"),
        ({"image": None, "text": ""}, "text", "text must be text"),
        ({"image": None, "text": "x" * 1001}, "text", "at most 1000"),
        ({"hints": []}, "hints", "1 to 16"),
        ({"hints": [CANNY] * 17}, "hints", "1 to 16"),
        ({"hints": "canny"}, "hints", "1 to 16"),
    ],
)
async def test_what_is_wrong_is_named_with_what_it_may_be(
    mesh: Running, changes: dict[str, Any], field: str, words: str
) -> None:
    body = changes if "hints" in changes else {**CANNY, **changes}
    told = await refusal(mesh, body)
    assert told["field"] == field
    assert words in told["detail"]


async def test_a_fault_in_one_of_several_is_named_by_its_place(mesh: Running) -> None:
    told = await refusal(mesh, {"hints": [CANNY, {**CANNY, "kind": "telepathy"}]})
    assert told["field"] == "hints[1].kind"
    told = await refusal(mesh, {"hints": [CANNY, {**CANNY, "extractor": "sobel"}]})
    assert told["field"] == "hints[1].extractor"
    told = await refusal(mesh, {"hints": [CANNY, {"kind": "canny"}]})
    assert (told["field"], told["detail"].partition(";")[0]) == ("hints[1].image", "hints[1].image is missing")
    assert (await refusal(mesh, {"hints": [CANNY, 7]}))["field"] == "hints[1]"
    assert (await refusal(mesh, {"hints": [CANNY, {**CANNY, "colour": 1}]}))["field"] == "hints[1].colour"
    assert (await refusal(mesh, {"hints": [CANNY], "kind": "canny"}))["field"] == "kind"


async def test_overload_and_what_can_t_be_accepted_are_said(mesh: Running) -> None:
    mesh.rooms.hint_failure = Overloaded("too many hints at once; try again", retry_after_s=2)
    told = await refusal(mesh, CANNY, 429)
    assert told["retry_after"] == 2
    status, _, _ = await ask(mesh, CANNY, "text/html")
    assert status == 406
    status, _, _ = await ask(mesh, {"hints": [CANNY]}, "image/png")
    assert status == 406


async def test_the_controls_of_one_model_can_be_listed(mesh: Running) -> None:
    async with mesh.http.get(f"{API}/controls?model=demo") as response:
        kinds = [control["kind"] for control in (await response.json())["controls"]]
    async with mesh.http.get(f"{API}/controls") as response:
        every = [control["kind"] for control in (await response.json())["controls"]]
    assert kinds
    assert set(kinds) <= set(every)
    async with mesh.http.get(f"{API}/controls?model=none") as response:
        assert response.status == 422
        assert (await response.json(content_type=None))["field"] == "model"
