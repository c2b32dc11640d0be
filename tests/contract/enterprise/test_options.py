"""The enterprise dialect: schedulers and their options, enhanced prompts, and what is said about them."""

from typing import Any

import pytest

from mesh.errors import InvalidInput
from tests.contract.conftest import Running, Start
from tests.rigs.enterprise_client import CONTROL, INIT, MASK, SENT, SILENT, ask, made, poll, rooms
from tests.rigs.offer import QUALITY, SCHEDULERS


@pytest.mark.parametrize("name", sorted(set(SCHEDULERS) - {"DDIMInverseScheduler"}))
async def test_schedulers_by_their_names_bare_names_and_in_any_case(mesh: Running, name: str) -> None:
    bare = name.removesuffix("Scheduler")
    for spelling in (name, bare, name.upper(), bare.lower()):
        body = await made(mesh, scheduler=spelling)
        assert body["meta"]["scheduler"] == rooms(mesh)[2].scheduler == name


async def test_a_scheduler_that_is_not_here_is_the_default_one(mesh: Running) -> None:
    for name in ("KarrasVeScheduler", "Euler", "../x", "x" * 500):
        question = "did you mean EulerDiscreteScheduler? " if name == "Euler" else ""
        used = f"{question}UniPCMultistepScheduler was used; schedulers_list has the others."
        tip = f"scheduler {name[:80]!r} is not available; {used}"
        body = await made(mesh, tip, scheduler=name)
        assert body["meta"]["scheduler"] == "UniPCMultistepScheduler"


async def test_an_inverting_scheduler_needs_a_picture_to_start_from(mesh: Running) -> None:
    tip = (
        "scheduler DDIMInverseScheduler inverts a whole picture and needs an initial one: init_image with "
        "a control_image, with a strength below 1 and no mask_image; UniPCMultistepScheduler was used."
    )
    for change in ({}, {"control_image": SENT[CONTROL], "strength": 1}, {"mask_image": SENT[MASK]}):
        body = await made(mesh, tip, scheduler="DDIMInverse", **change)
        assert body["meta"]["scheduler"] == rooms(mesh)[2].scheduler == "UniPCMultistepScheduler"
    body = await made(mesh, scheduler="DDIMInverse", init_image=SENT[INIT], control_image=SENT[CONTROL])
    prepared, encoded, denoised = rooms(mesh)
    assert (encoded[-1].image.content, denoised.scheduler) == (INIT, "DDIMInverseScheduler")
    assert body["meta"]["scheduler"] == "DDIMInverseScheduler" and prepared.controls[0].image.content == CONTROL
    assert not denoised.HasField("strength"), "nobody asked for one"
    await made(mesh, scheduler="DDIMInverse", control_image=SENT[CONTROL], strength=0.5)
    assert rooms(mesh)[2].strength == 0.5, "the room says that it has no use for it"


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
    question = " did you mean comic?" if style == "comic,comic" else ""
    tip = f"enhance_style {str(style)[:80]!r} is unknown, so none was applied;{question} known: comic."
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
async def test_hostile_values_are_answered_in_shape(shared: Running, field: str, value: Any) -> None:
    body = await ask(shared, "/api/v5/controlnet", **{**SILENT, "mask_image": SENT[MASK], field: value})
    assert body["status"] in ("success", "error"), body
    if body["status"] == "error":
        assert set(body) == {"status", "message", "messege"} and len(str(body["message"])) < 300
        assert field.replace("_", " ") in str(body["message"]).replace("_", " ")
    else:
        assert len(body.get("tip", "")) < 500


async def test_what_the_model_can_not_skip_is_said_in_the_vendors_count(mesh: Running) -> None:
    mesh.rooms.failure = InvalidInput("clip_skip must be 0 to 1 for this model, not 2", field="clip_skip")
    body = await ask(mesh, **{**SILENT, "init_image": SENT[INIT], "clip_skip": 3})
    assert body["message"] == "clip_skip must be 1 to 2 for this model, not 3"
    mesh.rooms.failure = InvalidInput("clip_skip must be 0 to 1 for this model, not 7", field="clip_skip")
    body = await ask(mesh, **{**SILENT, "init_image": SENT[INIT], "clip_skip": 50})
    assert body["message"] == "clip_skip must be 1 to 2 for this model, not 50"
    assert "tip" not in body, "one range, the model's"
    body = await ask(mesh, **{**SILENT, "init_image": SENT[INIT], "clip_skip": 50, "samples": 9})
    assert body["tip"] == "samples was set to 4; it may be 1 to 4."
