"""The enterprise dialect: which picture plays which part, in guess mode, image-to-image and inpainting."""

import base64
from typing import Any

import pytest

from mesh.errors import InvalidInput
from tests.contract.conftest import Running
from tests.rigs.enterprise_client import CONTROL, INIT, MASK, OTHER, SENT, SILENT, ask, made, rooms


@pytest.mark.parametrize("prompt", ["", None, "a boat"])
async def test_guess_mode_needs_no_prompt(mesh: Running, prompt: str | None) -> None:
    body = await made(mesh, guess_mode="yes", prompt=prompt, guidance_scale=3)
    prepared, encoded, denoised = rooms(mesh)
    assert (prepared.prompt, denoised.guess_mode, denoised.guidance_scale) == (prompt or "", True, 3)
    assert (body["meta"]["guess_mode"], body["meta"]["prompt"]) == ("yes", prompt or "") and not encoded
    await made(mesh, guess_mode="no")
    assert not rooms(mesh)[2].guess_mode
    refused = await ask(mesh, **{**SILENT, "guess_mode": "no", "prompt": ""})
    assert refused["message"] == {"prompt": ["The prompt field is required."]}


@pytest.mark.parametrize("strength", [None, 0.3, "0.3", 1])
async def test_init_image_alone_steers_and_nothing_else(mesh: Running, strength: Any) -> None:
    body = await made(mesh, init_image=SENT[INIT], strength=strength)
    prepared, encoded, denoised = rooms(mesh)
    assert prepared.controls[0].image.content == INIT and not encoded
    assert not denoised.HasField("initial") and not denoised.HasField("strength")
    assert body["meta"]["strength"] == float(strength or 0.7)


@pytest.mark.parametrize(
    ("path", "sent", "strength"),
    [("/api/v1/enterprise/controlnet", None, 0.7), ("/api/v5/controlnet", None, 0.55), ("/api/v5/controlnet", "0", 0)],
)
async def test_beside_a_control_image_it_is_the_start(mesh: Running, path: str, sent: Any, strength: float) -> None:
    change = {"init_image": SENT[INIT], "control_image": SENT[CONTROL], "strength": sent, "width": 128, "height": 64}
    body = await ask(mesh, path, **{**SILENT, **change})
    assert body["status"] == "success" and "tip" not in body
    prepared, (encoded,), denoised = rooms(mesh)
    assert prepared.controls[0].image.content == CONTROL and not prepared.HasField("mask")
    assert (encoded.image.content, encoded.width, encoded.height) == (INIT, 128, 64)
    assert denoised.HasField("initial") and denoised.strength == strength == body["meta"]["strength"]
    assert (body["meta"]["init_image"], body["meta"]["control_image"]) == ("base64", "base64")


@pytest.mark.parametrize("strength", [1, "1.0", 1.0])
async def test_a_strength_of_one_leaves_nothing_to_start_from(mesh: Running, strength: Any) -> None:
    # Not even looked at: it is no picture.
    await made(mesh, init_image="@@@@", control_image=SENT[CONTROL], strength=strength)
    prepared, encoded, denoised = rooms(mesh)
    assert prepared.controls[0].image.content == CONTROL
    assert not encoded and not denoised.HasField("strength")


@pytest.mark.parametrize(("strength", "reached"), [(None, 0.7), (0.4, 0.4), (1, 1)])
@pytest.mark.parametrize("control", [None, CONTROL])
async def test_a_mask_repaints_the_init_image(
    mesh: Running, control: bytes | None, strength: Any, reached: float
) -> None:
    pictures = {"init_image": SENT[INIT], "mask_image": SENT[MASK], "control_image": control and SENT[control]}
    body = await made(mesh, **pictures, strength=strength)
    prepared, (encoded,), denoised = rooms(mesh)
    assert (prepared.mask.content, encoded.image.content, denoised.strength) == (MASK, INIT, reached)
    assert prepared.controls[0].image.content == (control or INIT) and not prepared.controls[0].HasField("mask")
    assert body["meta"]["mask_image"] == "base64"


async def test_the_inpaint_control_reads_the_mask_too(mesh: Running) -> None:
    pictures = {"init_image": SENT[INIT], "mask_image": SENT[MASK]}
    body = await made(mesh, controlnet_model="inpaint,canny", controlnet_type="inpaint", **pictures)
    prepared, (encoded,), _ = rooms(mesh)
    assert [(one.kind, one.image.content) for one in prepared.controls] == [("inpaint", INIT), ("canny", INIT)]
    assert (prepared.mask.content, encoded.image.content) == (MASK, INIT)
    assert body["meta"]["controlnet_model"] == "inpaint,canny"


async def test_the_inpaint_control_can_have_the_mask_for_itself(mesh: Running) -> None:
    """Without a picture to repaint the mask belongs to the control, whose picture it marks."""
    pictures = {"init_image": None, "control_image": SENT[CONTROL], "mask_image": SENT[MASK]}
    body = await ask(mesh, **{**SILENT, "controlnet_model": "canny,inpaint", **pictures})
    assert body["status"] == "success" and "tip" not in body
    prepared, encoded, denoised = rooms(mesh)
    canny, inpaint = prepared.controls
    assert (inpaint.image.content, inpaint.mask.content) == (CONTROL, MASK) and not canny.HasField("mask")
    assert not prepared.HasField("mask") and not encoded and not denoised.HasField("strength")


async def test_the_inpaint_control_needs_a_mask(mesh: Running) -> None:
    body = await ask(mesh, **{**SILENT, "controlnet_model": "inpaint"})
    assert body["message"] == {"mask_image": ["The mask image field is required."]}


async def test_a_mask_of_nothing_is_said(mesh: Running) -> None:
    pictures = {"init_image": None, "control_image": SENT[CONTROL], "mask_image": SENT[MASK]}
    body = await ask(mesh, **{**SILENT, **pictures})
    assert body["status"] == "success"
    assert body["tip"] == "mask_image was not used: init_image, the picture to repaint, is missing."
    assert not rooms(mesh)[0].HasField("mask")


@pytest.mark.parametrize("nothing", [None, "", "null", "none", "no", False, [], [None]])
async def test_no_mask_and_no_control_image_in_every_spelling(mesh: Running, nothing: Any) -> None:
    body = await ask(mesh, **{**SILENT, "init_image": SENT[INIT], "mask_image": nothing, "control_image": nothing})
    assert body["status"] == "success" and "tip" not in body
    assert (body["meta"]["mask_image"], body["meta"]["control_image"]) == (None, None)
    assert rooms(mesh)[0].controls[0].image.content == INIT


@pytest.mark.parametrize(
    ("sent", "reached", "tip"),
    [
        ([SENT[CONTROL], SENT[OTHER], SENT[INIT]], [CONTROL, OTHER, INIT], ""),
        ([SENT[CONTROL], SENT[OTHER]], [CONTROL, OTHER, OTHER], ""),
        (f"{SENT[CONTROL]},{SENT[OTHER]}", [CONTROL, OTHER, OTHER], ""),
        (f"data:image/png;base64,{SENT[CONTROL]},data:image/png;base64,{SENT[OTHER]}", [CONTROL, OTHER, OTHER], ""),
        ([SENT[CONTROL]], [CONTROL, CONTROL, CONTROL], ""),
        (
            [SENT[CONTROL], None, SENT[OTHER]],
            [CONTROL, INIT, OTHER],
            "control_image has no picture in place 2; init_image was used there.",
        ),
        (
            f",data:image/png;base64,{SENT[OTHER]}",
            [INIT, OTHER, OTHER],
            "control_image has no picture in place 1; init_image was used there.",
        ),
        (
            [SENT[CONTROL], SENT[OTHER], SENT[INIT], "@@@@"],
            [CONTROL, OTHER, INIT],
            "control_image has 4 pictures for 3 controls; the first 3 were used.",
        ),
    ],
)
async def test_each_control_may_have_a_picture_of_its_own(
    mesh: Running, sent: Any, reached: list[bytes], tip: str
) -> None:
    weights = {"controlnet_conditioning_scale": "0.5,1", "auto_hint": "no", "init_image": SENT[INIT]}
    body = await made(mesh, tip, controlnet_model="canny,depth,canny", control_image=sent, strength=1, **weights)
    prepared = rooms(mesh)[0]
    assert [one.image.content for one in prepared.controls] == reached
    assert [one.weight for one in prepared.controls] == [0.5, 1, 1]
    assert len(body["meta"]["control_image"]) < 40, "no echo of megabytes"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"control_image": "@@@@"}, "control_image is neither"),
        ({"control_image": [SENT[CONTROL], 7]}, "control_image must be a picture"),
        ({"control_image": {"a": 1}}, "control_image must be a picture"),
        ({"control_image": [[SENT[CONTROL]]]}, "control_image must be a picture"),
        ({"control_image": SENT[CONTROL], "init_image": "@@@@"}, "init_image is neither"),
        ({"mask_image": "@@@@"}, "mask_image is neither"),
        ({"mask_image": True}, "mask_image must be a picture"),
        ({"mask_image": "http://127.0.0.1:9/mask.png"}, "unable to fetch the picture of mask_image"),
        ({"mask_image": base64.b64encode(b"no picture").decode()}, "cannot identify image file"),
        ({"guess_mode": "perhaps"}, "The guess mode must be yes or no."),
        ({"enhance_prompt": "perhaps"}, "The enhance prompt must be yes or no."),
        ({"enhance_style": {"a": 1}}, "The enhance style must be a string."),
        ({"algorithm_type": {}}, "The algorithm type must be a string."),
        ({"use_karras_sigmas": "maybe"}, "The use karras sigmas must be yes or no."),
        ({"strength": "strong"}, "The strength must be a number from 0 to 1."),
        ({"scheduler": {}}, "The scheduler must be a string."),
        ({"clip_skip": "all"}, "The clip skip must be a number from 1 to 8."),
    ],
)
async def test_what_is_no_picture_word_or_number_is_refused_by_name(
    mesh: Running, change: dict[str, Any], message: str
) -> None:
    body = await ask(mesh, **{**SILENT, "init_image": SENT[INIT], "controlnet_model": "canny,canny", **change})
    assert set(body) == {"status", "message", "messege"} and body["status"] == "error"
    assert body["message"].startswith(message)
    assert not mesh.rooms.seen.prepared


@pytest.mark.parametrize(
    ("field", "change", "named"),
    [
        ("controls[0].image", {}, "init_image"),
        ("controls[0].image", {"control_image": SENT[CONTROL]}, "control_image"),
        ("controls[0].mask", {"mask_image": SENT[MASK]}, "mask_image"),
        ("mask", {"mask_image": SENT[MASK]}, "mask_image"),
        ("image", {"control_image": SENT[CONTROL]}, "init_image"),
        ("strength", {"control_image": SENT[CONTROL]}, "strength"),
    ],
)
async def test_errors_of_the_rooms_name_the_field_that_was_sent(
    mesh: Running, field: str, change: dict[str, Any], named: str
) -> None:
    mesh.rooms.failure = InvalidInput(f"{field} is odd", field=field)
    body = await ask(mesh, **{**SILENT, "init_image": SENT[INIT], **change})
    assert (body["status"], body["message"]) == ("error", f"{named} is odd")


@pytest.mark.parametrize("strength", ["7", -1, "-0.5"])
async def test_a_strength_out_of_range_is_clamped_and_said(mesh: Running, strength: Any) -> None:
    kept = 1 if float(strength) > 1 else 0
    await made(mesh, f"strength was set to {kept}; it may be 0 to 1.", strength=strength, mask_image=SENT[MASK])
    assert rooms(mesh)[2].strength == kept
