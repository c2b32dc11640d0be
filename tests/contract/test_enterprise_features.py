"""The enterprise dialect: guess mode, image-to-image, inpainting, schedulers and their options, enhanced prompts."""

import base64
from typing import Any

import numpy as np
import pytest

from controlmesh.v1 import preprocess_pb2, unet_pb2, vae_pb2
from mesh.errors import InvalidInput
from mesh.pictures import encode
from tests.contract.conftest import Running, Start
from tests.contract.enterprise_client import META, SUCCESS, ask, poll, shaped
from tests.contract.rooms import QUALITY, SCHEDULERS


def grey(level: int) -> bytes:
    return encode(np.full((64, 64, 3), level, np.uint8))


INIT, CONTROL, OTHER, MASK = grey(10), grey(20), grey(30), grey(255)
SENT = {content: base64.b64encode(content).decode() for content in (INIT, CONTROL, OTHER, MASK)}
SILENT = {"model_id": "demo", "enhance_prompt": None, "scheduler": None, "strength": None, "num_inference_steps": 10}


async def made(mesh: Running, tip: str = "", **change: Any) -> dict[str, Any]:
    """The answer, which succeeded and says `tip`, or nothing."""
    body = await ask(mesh, **{**SILENT, **change})
    shaped(body, SUCCESS | ({"tip": str} if tip else {}))
    assert body["status"] == "success" and body.get("tip", "") == tip
    shaped(body["meta"], META | {name: str for name in ("mask_image", "control_image") if change.get(name)}
           | ({"enhance_style": str} if body["meta"]["enhance_style"] else {}))  # fmt: skip
    return body


def rooms(mesh: Running) -> tuple[preprocess_pb2.PrepareRequest, list[vae_pb2.EncodeRequest], unet_pb2.DenoiseRequest]:
    """What reached them last."""
    seen = mesh.rooms.seen
    return seen.prepared[-1], seen.encoded, seen.denoised[-1]


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
        ([SENT[CONTROL], None, SENT[OTHER]], [CONTROL, OTHER, OTHER], ""),
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
    weights = {"controlnet_conditioning_scale": "0.5,1", "auto_hint": "no"}
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
        ({"strength": "strong"}, "The strength must be a number."),
        ({"scheduler": {}}, "The scheduler must be a string."),
        ({"clip_skip": "all"}, "The clip skip must be a number."),
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


@pytest.mark.parametrize("name", sorted(set(SCHEDULERS) - {"DDIMInverseScheduler"}))
async def test_schedulers_by_their_names_bare_names_and_in_any_case(mesh: Running, name: str) -> None:
    bare = name.removesuffix("Scheduler")
    for spelling in (name, bare, name.upper(), bare.lower()):
        body = await made(mesh, scheduler=spelling)
        assert body["meta"]["scheduler"] == rooms(mesh)[2].scheduler == name


async def test_a_scheduler_that_is_not_here_is_the_default_one(mesh: Running) -> None:
    for name in ("KarrasVeScheduler", "Euler", "../x", "x" * 500):
        tip = f"scheduler {name[:80]!r} is not available; UniPCMultistepScheduler was used."
        body = await made(mesh, tip, scheduler=name)
        assert body["meta"]["scheduler"] == "UniPCMultistepScheduler"


async def test_an_inverting_scheduler_needs_a_picture_to_start_from(mesh: Running) -> None:
    tip = (
        "scheduler DDIMInverseScheduler makes noise of a picture and needs one to start from: "
        "control_image and init_image with a strength below 1; UniPCMultistepScheduler was used."
    )
    for change in ({}, {"control_image": SENT[CONTROL], "strength": 1}):
        body = await made(mesh, tip, scheduler="DDIMInverse", **change)
        assert body["meta"]["scheduler"] == rooms(mesh)[2].scheduler == "UniPCMultistepScheduler"
    body = await made(mesh, scheduler="DDIMInverse", init_image=SENT[INIT], control_image=SENT[CONTROL])
    prepared, (encoded,), denoised = rooms(mesh)
    assert (encoded.image.content, denoised.scheduler) == (INIT, "DDIMInverseScheduler")
    assert body["meta"]["scheduler"] == "DDIMInverseScheduler" and prepared.controls[0].image.content == CONTROL
    assert not denoised.HasField("strength"), "nobody asked for one"


NOT_KARRAS = "use_karras_sigmas was not applied: DDIMScheduler does not take it"


@pytest.mark.parametrize(
    ("scheduler", "sent", "reached", "shown", "tip"),
    [
        ("EulerDiscrete", None, True, "yes", ""),
        ("EulerDiscrete", "yes", True, "yes", ""),
        ("EulerDiscrete", "no", False, "no", ""),
        ("EulerDiscrete", False, False, "no", ""),
        (None, None, True, "yes", ""),
        ("DDIM", None, None, "no", ""),
        ("DDIM", "no", None, "no", ""),
        ("DDIM", "yes", True, "no", NOT_KARRAS),
        ("DDIM", True, True, "no", NOT_KARRAS),
    ],
)
async def test_karras_sigmas_are_the_default_where_the_scheduler_takes_them(
    mesh: Running, scheduler: Any, sent: Any, reached: bool | None, shown: str, tip: str
) -> None:
    body = await made(mesh, tip, scheduler=scheduler, use_karras_sigmas=sent)
    denoised = rooms(mesh)[2]
    assert (denoised.use_karras_sigmas if denoised.HasField("use_karras_sigmas") else None) is reached
    assert body["meta"]["use_karras_sigmas"] == shown


NO_VARIANTS = "algorithm_type was not applied: DDIMScheduler does not take it"


@pytest.mark.parametrize(
    ("scheduler", "sent", "reached", "shown", "tip"),
    [
        ("DPMSolverMultistep", "dpmsolver+++", "dpmsolver++", "dpmsolver+++", ""),
        ("DPMSolverMultistep", "dpmsolver++", "dpmsolver++", "dpmsolver++", ""),
        ("DPMSolverMultistep", " SDE-DPMSolver++ ", "sde-dpmsolver++", "SDE-DPMSolver++", ""),
        *(("DPMSolverMultistep", none, "", "no", "") for none in (None, "", "none", "None", "no", "null", False)),
        ("DDIM", "dpmsolver+++", "dpmsolver++", "no", NO_VARIANTS),
        ("DDIM", "heun", "", "no", "algorithm_type 'heun' is unknown; the scheduler's own was used."),
        ("DDIM", "\0", "", "no", "algorithm_type '\\x00' is unknown; the scheduler's own was used."),
        ("DDIM", 7, "", "no", "algorithm_type '7' is unknown; the scheduler's own was used."),
    ],
)
async def test_variants_of_the_solver(
    mesh: Running, scheduler: str, sent: Any, reached: str, shown: str, tip: str
) -> None:
    body = await made(mesh, tip, scheduler=scheduler, algorithm_type=sent)
    assert rooms(mesh)[2].algorithm_type == reached and body["meta"]["algorithm_type"] == shown


async def test_the_prompt_is_enhanced_only_where_the_request_asks(mesh: Running) -> None:
    body = await made(mesh, prompt="a boat", negative_prompt="fog")
    assert (body["meta"]["prompt"], body["meta"]["negative_prompt"]) == ("a boat", "fog")
    assert (body["meta"]["enhance_prompt"], body["meta"]["enhance_style"]) == ("no", None)
    body = await made(mesh, prompt="a boat", negative_prompt="fog", enhance_prompt="yes", enhance_style=" Comic ")
    prepared = rooms(mesh)[0]
    assert (prepared.prompt, prepared.enhance_prompt, prepared.enhance_style) == ("a boat", True, "comic")
    assert body["meta"]["prompt"] == f"comic of a boat{QUALITY}", "what was encoded"
    assert body["meta"]["negative_prompt"] == "fog, photo"
    assert (body["meta"]["enhance_prompt"], body["meta"]["enhance_style"]) == ("yes", "comic")


@pytest.mark.parametrize("style", ["anime", "x" * 5000, "\u202e", 7, "comic,comic"])
async def test_an_unknown_style_is_left_out_and_said(mesh: Running, style: Any) -> None:
    tip = f"enhance_style {str(style)[:80]!r} is unknown; the prompt got no style."
    body = await made(mesh, tip, enhance_style=style)
    assert rooms(mesh)[0].enhance_style == "" and body["meta"]["enhance_style"] is None


@pytest.mark.parametrize("style", ["none", "No", "", "null", False])
async def test_no_style_in_every_spelling(mesh: Running, style: Any) -> None:
    assert (await made(mesh, enhance_style=style))["meta"]["enhance_style"] is None


@pytest.mark.parametrize(("sent", "skipped"), [("1", 0), (2, 1), ("8", 7)])
async def test_the_vendor_counts_layers_from_one(mesh: Running, sent: Any, skipped: int) -> None:
    body = await made(mesh, clip_skip=sent)
    assert rooms(mesh)[0].clip_skip == skipped and body["meta"]["clip_skip"] == int(sent)


async def test_notes_of_the_rooms_reach_those_who_poll(start: Start) -> None:
    async with start(enterprise_hold_s=0.05) as mesh:
        mesh.rooms.pace.clear()
        asked = {"scheduler": "DDIM", "use_karras_sigmas": "yes", "prompt": "x" * 1001, "enhance_style": "anime"}
        body = await ask(mesh, **{**SILENT, **asked, "num_inference_steps": 2})
        assert body["status"] == "processing" and "enhance_style 'anime' is unknown" in body["tip"]
        assert body["meta"]["prompt"] == "x" * 1001, "as it was sent, until it is known what was encoded"
        mesh.rooms.pace.set()
        job = next(iter(mesh.rooms.seen.denoised))
        assert job.use_karras_sigmas
        polled = await poll(mesh, body)
        while polled["status"] == "processing":
            polled = await poll(mesh, body)
        assert polled["tip"] == f"the prompt was cut {NOT_KARRAS}"


async def test_the_same_note_of_several_pictures_is_said_once(mesh: Running) -> None:
    await made(mesh, NOT_KARRAS, scheduler="DDIM", use_karras_sigmas="yes", samples=3)


@pytest.mark.parametrize("value", [0, 1, -1, 2**64, 1e308, "\0", "x" * 20_000, [], [None], [[[]]], {}, {"a": {}}, True])
@pytest.mark.parametrize(
    "field",
    ["guess_mode", "mask_image", "control_image", "init_image", "strength", "scheduler", "use_karras_sigmas",
     "algorithm_type", "enhance_prompt", "enhance_style", "clip_skip"],
)  # fmt: skip
async def test_hostile_values_are_answered_in_shape(mesh: Running, field: str, value: Any) -> None:
    body = await ask(mesh, "/api/v5/controlnet", **{**SILENT, "mask_image": SENT[MASK], field: value})
    assert body["status"] in ("success", "error"), body
    if body["status"] == "error":
        assert set(body) == {"status", "message", "messege"} and len(str(body["message"])) < 300
        assert field.replace("_", " ") in str(body["message"]).replace("_", " ")
    else:
        assert len(body.get("tip", "")) < 500
