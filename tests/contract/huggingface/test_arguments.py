"""The Hugging Face dialect: arguments of diffusers' pipelines that the published handler did not have."""

import pytest

from mesh.pictures import check
from tests.contract.conftest import Running
from tests.rigs.huggingface_client import CONTENT, CONTROL, MASK, PAYLOAD, PICTURE, SENT, posted, refused


@pytest.mark.parametrize("nested", [False, True])
async def test_arguments_of_diffusers_pipelines_by_their_own_names(mesh: Running, nested: bool) -> None:
    extra = {"guess_mode": True, "control_guidance_start": 0.25, "control_guidance_end": 0.5, "clip_skip": 2,
             "num_images_per_prompt": 4, "inputs": ""}  # fmt: skip
    await posted(mesh, {**PAYLOAD, "parameters": extra} if nested else {**PAYLOAD, **extra})
    prepared, (denoised,) = mesh.rooms.seen.prepared[0], mesh.rooms.seen.denoised
    assert (prepared.controls[0].start, prepared.controls[0].end) == (0.25, 0.5)
    assert (prepared.clip_skip, denoised.guess_mode) == (2, True), "diffusers counts the layers that are skipped, too"


async def test_the_same_arguments_in_the_url(mesh: Running) -> None:
    query = "?guess_mode=true&control_guidance_start=0.25&control_guidance_end=0.5&clip_skip=1&scheduler=ddim"
    await posted(mesh, PAYLOAD, f"/{query}")
    prepared, denoised = mesh.rooms.seen.prepared[0], mesh.rooms.seen.denoised[0]
    assert (prepared.controls[0].start, prepared.controls[0].end, prepared.clip_skip) == (0.25, 0.5, 1)
    assert (denoised.guess_mode, denoised.scheduler) == (True, "DDIMScheduler")
    text = await refused(mesh, path="/?guess_mode=maybe", json=PAYLOAD)
    assert text == "guess_mode must be true or false, not 'maybe'"


@pytest.mark.parametrize(("strength", "reached"), [(None, 0.8), (0.25, 0.25), (0, 0)])
@pytest.mark.parametrize("masked", [False, True])
async def test_beside_a_control_image_the_picture_is_the_start(
    mesh: Running, strength: float | None, reached: float, masked: bool
) -> None:
    body = {**PAYLOAD, "control_image": SENT[CONTROL], "strength": strength}
    content = await posted(mesh, {**body, "mask_image": SENT[MASK]} if masked else body)
    assert check(content) == ("PNG", 96, 64), "the size is that of the picture to start from"
    prepared, encoded, denoised = (getattr(mesh.rooms.seen, name)[0] for name in ("prepared", "encoded", "denoised"))
    assert (prepared.controls[0].image.content, encoded.image.content) == (CONTROL, CONTENT)
    assert prepared.mask.content == (MASK if masked else b"")
    assert denoised.strength == reached and denoised.HasField("initial")


async def test_the_inpaint_control_reads_the_same_mask(mesh: Running) -> None:
    pictures = {"control_image": PICTURE, "mask_image": SENT[MASK], "controlnet_type": "inpaint"}
    await posted(mesh, {**PAYLOAD, **pictures, "strength": 1})
    prepared = mesh.rooms.seen.prepared[0]
    assert (prepared.controls[0].kind, prepared.mask.content) == ("inpaint", MASK)


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "EulerDiscrete", "eulerdiscrete"])
async def test_schedulers_by_their_names_bare_names_and_in_any_case(mesh: Running, name: str) -> None:
    await posted(mesh, {**PAYLOAD, "scheduler": name})
    assert mesh.rooms.seen.denoised[0].scheduler == "EulerDiscreteScheduler"
