"""The enterprise dialect: its names of control kinds, what each means here, and hints that are made from words."""

from typing import Any

import pytest

from controlmesh.v1 import unet_pb2
from gateway.dialects.enterprise.kinds import KINDS, WITHOUT_TYPE
from mesh.errors import InvalidInput
from tests.contract.conftest import Running, Start
from tests.rigs.enterprise_client import CONTROL, INIT, MASK, SENT, SILENT, ask, made, rooms
from tests.rigs.offer import CONTROLNETS, UNLOADED

# The vendor's lists of 2023 to 2026.
DOCUMENTED = {
    "canny", "depth", "hed", "mlsd", "normal", "openpose", "scribble", "segmentation", "inpaint", "softedge", "lineart",
    "shuffle", "tile", "face_detector", "qrcode", "blur", "pose", "gray", "low_quality",
}  # fmt: skip
QRCODE = {"controlnet_model": "qrcode", "controlnet_type": "qrcode", "init_image": None}
NO_CONTROLNET = "model demo has no ControlNet of this kind; it has: " + ", ".join(CONTROLNETS)

NO_KIND = "there is no such kind of control; model demo has: " + ", ".join(CONTROLNETS)


def instead(name: str, kind: str) -> str:
    return f"controlnet_model {name!r} is not loaded under that name; the one for {kind} was used."


def test_every_documented_kind_means_one_of_the_mesh() -> None:
    assert set(KINDS) == DOCUMENTED
    renamed = {"pose": "openpose", "face_detector": "face"}
    assert {name: kinds[0] for name, kinds in KINDS.items()} == {name: renamed.get(name, name) for name in DOCUMENTED}


@pytest.mark.parametrize(
    ("name", "kind", "tip"),
    [
        ("pose", "openpose", ""),
        ("OpenPose", "openpose", ""),
        ("softedge", "softedge", ""),
        ("Soft Edge", "softedge", ""),
        ("hed", "softedge", instead("hed", "softedge")),
        ("illusion", "qrcode", instead("illusion", "qrcode")),
        ("lllyasviel/control_v11p_sd15_canny", "canny", instead("lllyasviel/control_v11p_sd15_canny", "canny")),
        ("control_v11p_sd15_canny", "canny", instead("control_v11p_sd15_canny", "canny")),
        ("my-own", "depth", instead("my-own", "depth")),
    ],
)
async def test_names_and_what_they_mean(mesh: Running, name: str, kind: str, tip: str) -> None:
    # What names a ControlNet rather than a kind may have any type.
    type = "depth" if "_" in name or "-" in name else kind
    body = await made(mesh, tip, controlnet_model=name, controlnet_type=type, auto_hint="no")
    assert rooms(mesh)[0].controls[0].kind == kind
    assert body["meta"]["controlnet_model"] == name, "as it was sent"


@pytest.mark.parametrize("name", ["grey", "Low Quality", "low-quality", "face_detector", "normal", "scribble", "nope"])
async def test_a_kind_without_controlnet_is_refused_with_those_that_are_here(mesh: Running, name: str) -> None:
    body = await ask(mesh, **{**SILENT, "controlnet_model": name, "controlnet_type": None})
    why, _, command = body["message"].partition("; add one: ")
    if name == "nope":
        assert (why, command) == (f"controlnet_model 'nope' is not available here: {NO_KIND}", "")
    else:
        assert why == f"controlnet_model {name!r} is not available here: {NO_CONTROLNET}"
        assert command.startswith("python -m export control ") and command.endswith(" SOURCE --model demo")
    assert not mesh.rooms.seen.prepared


@pytest.mark.parametrize(("name", "head"), [("pose", "body"), ("depth", "depth")])
async def test_a_kind_without_annotator_is_refused_with_the_command_that_exports_one(
    mesh: Running, name: str, head: str
) -> None:
    body = await ask(mesh, **{**SILENT, "controlnet_model": name, "controlnet_type": name})
    assert body["message"] == (
        f"controlnet_model {name!r} is not available here: its hint can't be extracted from a picture here: "
        f"{UNLOADED[head]}; or send a ready hint as control_image with auto_hint no; can be extracted: canny, inpaint, "
        "qrcode, softedge"
    )


@pytest.mark.parametrize("name", ["aesthetic-controlnet", "ip2p"])
async def test_kinds_that_the_mesh_has_not_are_refused_as_such(mesh: Running, name: str) -> None:
    assert name.replace("-", "_") in WITHOUT_TYPE
    body = await ask(mesh, **{**SILENT, "controlnet_model": name, "controlnet_type": "canny", "auto_hint": "no"})
    assert body["status"] == "error"
    assert "the mesh has no such control type; model demo has: canny" in body["message"]


@pytest.mark.parametrize("auto_hint", ["yes", "no"])
async def test_a_code_is_made_of_its_text(mesh: Running, auto_hint: str) -> None:
    await made_code(mesh, auto_hint=auto_hint, qrcode_text="https://example.org")
    prepared, encoded, _ = rooms(mesh)
    (code,) = prepared.controls
    assert (code.kind, code.text, code.HasField("image")) == ("qrcode", "https://example.org", False)
    assert not encoded and (prepared.width, prepared.height) == (512, 512)
    await made_code(mesh, qrcode_text=12345)
    assert rooms(mesh)[0].controls[0].text == "12345"


async def made_code(mesh: Running, tip: str = "", **change: Any) -> None:
    body = await ask(mesh, **{**SILENT, **QRCODE, **change})
    assert (body["status"], body.get("tip", "")) == ("success", tip), body


async def test_the_text_counts_as_the_control_image(mesh: Running) -> None:
    await made_code(mesh, qrcode_text="a", init_image=SENT[INIT], strength=0.5)
    prepared, (encoded,), denoised = rooms(mesh)
    assert (encoded.image.content, denoised.strength) == (INIT, 0.5)
    assert not prepared.controls[0].HasField("image")
    await made_code(mesh, qrcode_text="a", init_image=SENT[INIT], strength=1)
    assert len(rooms(mesh)[1]) == 1 and not rooms(mesh)[2].HasField("initial")
    await made_code(mesh, qrcode_text="a", init_image=SENT[INIT], mask_image=SENT[MASK])
    assert rooms(mesh)[0].mask.content == MASK
    tip = "control_image was not used: the hint is made from qrcode_text."
    await made_code(mesh, tip, qrcode_text="a", control_image=SENT[CONTROL])


async def test_other_controls_keep_their_pictures(mesh: Running) -> None:
    await made(mesh, controlnet_model="qrcode,canny", qrcode_text="a", init_image=SENT[INIT])
    code, canny = rooms(mesh)[0].controls
    assert (code.text, code.HasField("image")) == ("a", False)
    assert (canny.text, canny.image.content) == ("", INIT) and not rooms(mesh)[1]
    await made(mesh, "qrcode_text was not used: no hint of this request is made from text.", qrcode_text="a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, {"init_image": ["The init image field is required."]}),
        ({"qrcode_text": ""}, {"init_image": ["The init image field is required."]}),
        ({"qrcode_text": {"a": 1}}, "The qrcode text must be a string."),
        ({"qrcode_text": "x" * 1001}, "qrcode_text has 1001 characters; at most 1000 are allowed"),
    ],
)
async def test_a_code_needs_its_text_or_its_picture(mesh: Running, change: dict[str, Any], message: Any) -> None:
    body = await ask(mesh, **{**SILENT, **QRCODE, **change})
    assert (body["status"], body["message"]) == ("error", message)


async def test_errors_about_the_words_name_the_field_that_was_sent(mesh: Running) -> None:
    mesh.rooms.failure = InvalidInput("controls[0].text is odd", field="controls[0].text")
    body = await ask(mesh, **{**SILENT, **QRCODE, "qrcode_text": "a"})
    assert (body["status"], body["message"]) == ("error", "qrcode_text is odd")


async def test_a_model_of_one_control_takes_no_second(start: Start) -> None:
    """ "Multi ControlNet does not apply" to the vendor's FLUX models, whose guidance scale is 3.5."""
    async with start() as mesh:
        mesh.rooms.family, mesh.rooms.defaults = "flux", unet_pb2.Defaults(guidance_scale=3.5)
        body = await ask(mesh, **{**SILENT, "controlnet_model": "canny,depth", "auto_hint": "no"})
        assert body["status"] == "error" and not mesh.rooms.seen.prepared
        assert "multi ControlNet does not apply to demo: name one" in body["message"]
        await made(mesh, "", controlnet_model="canny", auto_hint="no", guidance_scale=None)
        assert mesh.rooms.seen.denoised[0].guidance_scale == 3.5
        assert not mesh.rooms.seen.prepared[0].true_guidance
