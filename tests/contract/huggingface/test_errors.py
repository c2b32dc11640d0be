"""The Hugging Face dialect: what is refused, and how."""

import base64
import json
from typing import Any

import pytest

from gateway.dialects.huggingface.request import ALIASES, CONTROL_TYPES
from mesh.errors import DeadlineExceeded, InvalidInput, Overloaded
from tests.contract.conftest import Running, Start
from tests.rigs.huggingface_client import CONTROL, PAYLOAD, PICTURE, PNG, SENT, refused
from tests.rigs.offer import UNLOADED


@pytest.mark.parametrize(
    ("name", "kind"),
    [("canny_edge", "canny"), ("canny", "canny"), ("softedge", "softedge"), ("hed", "softedge"), ("qrcode", "qrcode")],
)
async def test_the_names_of_the_controls_that_are_here(mesh: Running, name: str, kind: str) -> None:
    async with mesh.http.post("/", json={**PAYLOAD, "controlnet_type": name}, headers=PNG) as response:
        assert response.status == 200, "hed has no ControlNet of its own here, and soft edges suit the same ones"
    assert mesh.rooms.seen.prepared[0].controls[0].kind == kind


@pytest.mark.parametrize(("name", "kind"), [(name, kinds[0]) for name, kinds in {**CONTROL_TYPES, **ALIASES}.items()])
def test_every_documented_type_is_a_kind_of_the_mesh(name: str, kind: str) -> None:
    documented = {"pose": "openpose", "canny_edge": "canny", "hough": "mlsd", "though": "mlsd", "seg": "segmentation"}
    assert kind == documented.get(name, name)


@pytest.mark.parametrize(
    "name", ["scribble", "segmentation", "normal", "hough", "though", "seg", "mlsd", "lineart", None]
)
async def test_a_type_without_controlnet_is_refused_with_those_that_are_here(mesh: Running, name: str | None) -> None:
    text = await refused(mesh, json={**PAYLOAD, "controlnet_type": name})
    default = "" if name else "; none was sent, and 'normal' is the default"
    assert text == (
        f"controlnet_type {name or 'normal'!r} is not available here: model demo has no ControlNet of this kind; "
        f"it has: canny_edge, pose, depth, inpaint, qrcode, softedge{default}; add one: python -m export control "
        f"{({**CONTROL_TYPES, **ALIASES}[name] if name else ('normal',))[0]} SOURCE --model demo"
    )


@pytest.mark.parametrize(("name", "head"), [("pose", "body"), ("openpose", "body"), ("depth", "depth")])
async def test_a_type_without_annotator_is_refused_with_the_command_that_exports_one(
    mesh: Running, name: str, head: str
) -> None:
    text = await refused(mesh, json={**PAYLOAD, "controlnet_type": name})
    assert text == (
        f"controlnet_type {name!r} is not available here: its hint can't be extracted from a picture here: "
        f"{UNLOADED[head]}; can be extracted: canny_edge, inpaint, qrcode, softedge"
    )


async def test_an_omitted_type_means_normal(mesh: Running) -> None:
    body = {name: value for name, value in PAYLOAD.items() if name != "controlnet_type"}
    assert "'normal' is not available here" in await refused(mesh, json=body)


@pytest.mark.parametrize("name", ["x", "", 7, ["hed"]])
async def test_an_unknown_type_is_refused_with_all_names(mesh: Running, name: Any) -> None:
    text = await refused(mesh, json={**PAYLOAD, "controlnet_type": name})
    for known in ("canny_edge", "pose", "depth", "scribble", "segmentation", "normal", "hed", "hough"):
        assert known in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": 7}, "inputs must be text"),
        ({"image": None}, "image is missing"),
        ({"inputs": None, "image": None}, "Please provide a prompt and base64 encoded image."),
        ({"image": "@@@@"}, "image is neither"),
        ({"image": base64.b64encode(b"<html>not a picture</html>").decode()}, "cannot identify image file"),
        ({"image": 7}, "image must be a picture"),
        ({"image": "http://127.0.0.1/a.png"}, "unable to fetch"),
        ({"num_inference_steps": 151}, "num_inference_steps must be a whole number from 1 to 150, not 151"),
        ({"num_inference_steps": "20"}, "num_inference_steps must be a whole number"),
        ({"height": 100}, "height must be a whole number from 64 to 2048, a multiple of 8"),
        ({"guidance_scale": 21}, "guidance_scale must be a number from 1 to 20"),
        ({"controlnet_conditioning_scale": -1}, "controlnet_conditioning_scale must be a number from 0 to 20"),
        ({"scheduler": "Nope"}, "scheduler 'Nope' can't be used"),
        ({"scheduler": 7}, "scheduler must be a name"),
        ({"parameters": []}, "parameters must be an object"),
        ({"guess_mode": "yes"}, "guess_mode must be true or false, not 'yes'"),
        ({"clip_skip": 9}, "clip_skip must be a whole number from 0 to 8, not 9"),
        ({"control_guidance_start": [0.1]}, "control_guidance_start must be a number from 0 to 1, not a list of 1"),
        ({"control_guidance_start": 0.5, "control_guidance_end": 0.1}, "control_guidance_end must be at least"),
        ({"mask_image": PICTURE}, "control_image is missing; with mask_image"),
        ({"control_image": "@@@@"}, "control_image is neither"),
        ({"control_image": PICTURE, "mask_image": 7}, "mask_image must be a picture"),
        ({"control_image": PICTURE, "strength": 1.1}, "strength must be a number from 0 to 1, not 1.1"),
        ({"control_image": PICTURE, "strength": "0.5"}, "strength must be a number from 0 to 1, not '0.5'"),
        (
            {"image": None, "control_image": PICTURE, "controlnet_type": None, "parameters": {}},
            "image is missing; with",
        ),
        ({"image": None, "controlnet_type": None, "guess_mode": True, "parameters": {}}, "guess_mode needs at least"),
    ],
)
async def test_errors_are_short_and_name_the_clients_field(mesh: Running, change: dict[str, Any], words: str) -> None:
    text = await refused(mesh, json={**PAYLOAD, **change}, headers=PNG)
    assert text.startswith(words) and len(text) < 300


@pytest.mark.parametrize("body", [b"{}", b'{"image": "x"}'])
async def test_a_body_without_inputs(mesh: Running, body: bytes) -> None:
    text = await refused(mesh, data=body, headers={"Content-Type": "application/json"})
    assert text == "Body needs to provide a inputs key"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "audio/wav", ""])
async def test_other_content_types_are_refused(mesh: Running, content_type: str) -> None:
    text = await refused(mesh, data=json.dumps(PAYLOAD), headers={"Content-Type": content_type})
    assert "Content-Type" in text and "application/json" in text


@pytest.mark.parametrize("accept", ["text/html", "audio/wav", "image/avif", "nonsense"])
async def test_other_accepts_are_refused_with_what_is_supported(mesh: Running, accept: str) -> None:
    text = await refused(mesh, json=PAYLOAD, headers={"Accept": accept})
    assert "image/png" in text and "application/json" in text


async def test_tokens(start: Start) -> None:
    async with start(api_keys=("hf_good",)) as mesh:
        for headers in ({}, {"Authorization": "Bearer hf_bad"}, {"Authorization": "Basic hf_good"}):
            assert await refused(mesh, 401, json=PAYLOAD, headers=headers) == "Invalid or missing token"
        async with mesh.http.post("/", json=PAYLOAD, headers={"Authorization": "Bearer hf_good", **PNG}) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        (InvalidInput("image is odd", field="controls[0].image"), 400, "image is odd"),
        (Overloaded("the queue is full", retry_after_s=3), 503, "the queue is full"),
        (DeadlineExceeded("too slow"), 503, "too slow"),
        (RuntimeError("0x7f"), 400, "an unexpected error occurred"),
    ],
)
async def test_errors_of_the_rooms(mesh: Running, failure: Exception, status: int, words: str) -> None:
    mesh.rooms.failure = failure  # type: ignore[assignment]
    assert (await refused(mesh, status, json=PAYLOAD)).startswith(words)


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("controls[0].image", "control_image"),
        ("image", "image"),
        ("mask", "mask_image"),
        ("controls[0].end", "control_guidance_end"),
    ],
)
async def test_errors_of_the_rooms_name_the_picture_that_was_sent(mesh: Running, field: str, named: str) -> None:
    mesh.rooms.failure = InvalidInput(f"{field} is odd", field=field)
    assert await refused(mesh, json={**PAYLOAD, "control_image": SENT[CONTROL]}) == f"{named} is odd"
