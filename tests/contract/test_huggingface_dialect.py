"""The Hugging Face dialect: the handler's payload, InferenceClient's payloads, negotiation, errors."""

import asyncio
import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mesh.errors import DeadlineExceeded, InvalidInput, Overloaded
from mesh.pictures import check, encode
from tests.contract.conftest import Running, Start

CONTENT = encode(np.zeros((64, 96, 3), np.uint8))
PICTURE = base64.b64encode(CONTENT).decode()
CONTROL = encode(np.full((64, 64, 3), 20, np.uint8))
MASK = encode(np.full((64, 64, 3), 255, np.uint8))
SENT = {content: base64.b64encode(content).decode() for content in (CONTROL, MASK)}
# The request of the published client, with the one control that can be extracted here.
PAYLOAD: dict[str, Any] = {
    "inputs": "stone cottage by a lake at dusk",
    "image": PICTURE,
    "negative_prompt": None,
    "controlnet_type": "canny_edge",
}
PNG = {"Accept": "image/png"}
FULL = {
    **PAYLOAD,
    "negative_prompt": "fog",
    "num_inference_steps": 5,
    "guidance_scale": 4.5,
    "height": 128,
    "width": 64,
    "controlnet_conditioning_scale": 0.5,
    "seed": 11,
    "strength": 0.2,
    "steps": 99,
    "unknown": {"anything": 1},
}


async def refused(mesh: Running, status: int = 400, path: str = "/", **request: Any) -> str:
    """The error's text, its shape checked."""
    async with mesh.http.post(path, **request) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"
        body = await response.json()
        assert list(body) == ["error"] and isinstance(body["error"], str)
        assert mesh.parts.jobs.load() == (0, 0)
        text: str = body["error"]
        return text


@pytest.mark.parametrize("path", ["/", "/predict", "/hf/any-name", "/hf/any-name/predict", "/hf/demo/", "//predict"])
async def test_the_published_clients_request_gets_a_png(mesh: Running, path: str) -> None:
    headers = {"Authorization": "Bearer hf_test", "Content-Type": "application/json", **PNG}
    async with mesh.http.post(mesh.url + path, json=PAYLOAD, headers=headers) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "image/png")
        assert check(await response.read()) == ("PNG", 96, 64), "the size is left to the control's picture"
    prepared, denoised = mesh.rooms.seen.prepared[0], mesh.rooms.seen.denoised[0]
    assert (prepared.prompt, prepared.negative_prompt, prepared.width, prepared.height) == (PAYLOAD["inputs"], "", 0, 0)
    control = prepared.controls[0]
    assert (control.kind, control.auto_hint, control.weight, control.start, control.end) == ("canny", True, 1, 0, 1)
    assert control.image.content == CONTENT
    assert (denoised.steps, denoised.guidance_scale, denoised.seed) == (30, 7.5, 3)
    assert prepared.HasField("prompt_weighting") and not prepared.prompt_weighting, "plain diffusers"
    assert not denoised.guess_mode and not denoised.HasField("use_karras_sigmas") and not denoised.HasField("strength")


async def posted(mesh: Running, body: dict[str, Any], path: str = "/") -> bytes:
    """The picture that `body` gets."""
    async with mesh.http.post(path, json=body, headers=PNG) as response:
        assert response.status == 200, await response.text()
        return await response.read()


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


@pytest.mark.parametrize("nested", [False, True])
async def test_every_field_is_honoured_at_the_top_and_among_the_parameters(mesh: Running, nested: bool) -> None:
    top = {"inputs": FULL["inputs"], "guidance_scale": 19, "width": 1024}
    rest = {name: value for name, value in FULL.items() if name != "inputs"}
    async with mesh.http.post("/", json={**top, "parameters": rest} if nested else FULL, headers=PNG) as response:
        assert response.status == 200
        assert check(await response.read()) == ("PNG", 64, 128)
    prepared, denoised = mesh.rooms.seen.prepared[0], mesh.rooms.seen.denoised[0]
    assert (prepared.negative_prompt, prepared.controls[0].weight) == ("fog", 0.5)
    assert (denoised.steps, denoised.guidance_scale, denoised.seed) == (5, 4.5, 11)
    assert not denoised.HasField("strength"), "alone it was never a start's"


async def test_query_parameters_are_parameters_where_the_body_has_none(mesh: Running) -> None:
    query = "?num_inference_steps=4&guidance_scale=2.5&seed=8&width=64&controlnet_conditioning_scale=2"
    async with mesh.http.post(f"/{query}", json=PAYLOAD, headers=PNG) as response:
        assert response.status == 200
    async with mesh.http.post(f"/{query}", json={**PAYLOAD, "parameters": {}}, headers=PNG) as response:
        assert response.status == 200
    first, second = mesh.rooms.seen.denoised
    assert (first.steps, first.guidance_scale, first.seed) == (4, 2.5, 8)
    assert mesh.rooms.seen.prepared[0].width == 64 and mesh.rooms.seen.prepared[0].controls[0].weight == 2
    assert (second.steps, second.seed) == (30, 3)
    assert "num_inference_steps" in await refused(mesh, path="/?num_inference_steps=many", json=PAYLOAD)


@pytest.mark.parametrize(
    ("accept", "media_type", "format"),
    [
        ("image/png", "image/png", "PNG"),
        ("image/jpeg", "image/jpeg", "JPEG"),
        ("image/webp", "image/webp", "WEBP"),
        ("image/bmp", "image/bmp", "BMP"),
        ("image/tiff", "image/tiff", "TIFF"),
        ("image/gif", "image/gif", "GIF"),
        ("image/jpg", "image/jpeg", "JPEG"),
        ("image/x-image", "image/png", "PNG"),
        ("image/png, */*", "image/png", "PNG"),
        ("image/*;q=0.9, text/html", "image/png", "PNG"),
        ("image/jpeg;q=0.5, image/webp", "image/webp", "WEBP"),
    ],
)
async def test_the_accept_header_chooses_the_format(mesh: Running, accept: str, media_type: str, format: str) -> None:
    async with mesh.http.post("/", json=PAYLOAD, headers={"Accept": accept}) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, media_type)
        with Image.open(io.BytesIO(await response.read())) as picture:
            assert (picture.format, picture.size) == (format, (96, 64))


@pytest.mark.parametrize("accept", ["application/json", "*/*", None])
async def test_json_is_a_bare_string_of_base64(mesh: Running, accept: str | None) -> None:
    headers = {"Accept": accept} if accept else None
    skipped = [] if accept else ["Accept"]
    async with mesh.http.post("/", json=PAYLOAD, headers=headers, skip_auto_headers=skipped) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
        text = json.loads(await response.text())
        assert isinstance(text, str) and check(base64.b64decode(text))[0] == "PNG"


async def test_the_default_seed_makes_every_call_the_same(mesh: Running) -> None:
    answers = []
    for _ in range(2):
        async with mesh.http.post("/", json=PAYLOAD, headers=PNG) as response:
            answers.append(await response.read())
    assert answers[0] == answers[1]


async def test_inference_clients_text_to_image(mesh: Running) -> None:
    body = {"inputs": "a boat", "parameters": {"width": 64, "height": 72, "num_inference_steps": 2, "scheduler": None}}
    async with mesh.http.post("/", json=body, headers=PNG) as response:
        assert response.status == 200 and check(await response.read()) == ("PNG", 64, 72)
    assert not mesh.rooms.seen.prepared[0].controls
    body["parameters"] |= {"image": PICTURE, "controlnet_type": "canny"}
    async with mesh.http.post("/", json=body, headers=PNG) as response:
        assert response.status == 200
    assert mesh.rooms.seen.prepared[1].controls[0].kind == "canny"


async def test_inference_clients_image_to_image(mesh: Running) -> None:
    parameters = {"prompt": "a boat", "controlnet_type": "canny", "target_size": {"width": 64, "height": 72}}
    async with mesh.http.post("/", json={"inputs": PICTURE, "parameters": parameters}, headers=PNG) as response:
        assert response.status == 200 and check(await response.read()) == ("PNG", 64, 72)
    assert mesh.rooms.seen.prepared[0].prompt == "a boat"
    assert mesh.rooms.seen.prepared[0].controls[0].image.content == CONTENT
    headers = {"Content-Type": "image/png", **PNG}
    query = "/?controlnet_type=canny_edge&prompt=a+boat&num_inference_steps=2"
    async with mesh.http.post(query, data=CONTENT, headers=headers) as response:
        assert response.status == 200
    assert mesh.rooms.seen.prepared[1].prompt == "a boat" and mesh.rooms.seen.denoised[1].steps == 2
    assert mesh.rooms.seen.prepared[1].controls[0].image.content == CONTENT


async def test_the_real_inference_clients_wire_form_of_a_data_url(mesh: Running) -> None:
    async with mesh.http.post("/", json={**PAYLOAD, "image": f"data:image/png;base64,{PICTURE}"}, headers=PNG) as r:
        assert r.status == 200


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=UTF-8", "APPLICATION/JSON"])
async def test_content_types_that_are_json(mesh: Running, content_type: str) -> None:
    headers = {"Content-Type": content_type, **PNG}
    async with mesh.http.post("/", data=json.dumps(PAYLOAD), headers=headers) as response:
        assert response.status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "audio/wav", ""])
async def test_other_content_types_are_refused(mesh: Running, content_type: str) -> None:
    text = await refused(mesh, data=json.dumps(PAYLOAD), headers={"Content-Type": content_type})
    assert "Content-Type" in text and "application/json" in text


@pytest.mark.parametrize("accept", ["text/html", "audio/wav", "image/avif", "nonsense"])
async def test_other_accepts_are_refused_with_what_is_supported(mesh: Running, accept: str) -> None:
    text = await refused(mesh, json=PAYLOAD, headers={"Accept": accept})
    assert "image/png" in text and "application/json" in text


@pytest.mark.parametrize("name", ["canny_edge", "canny"])
async def test_the_names_of_the_control_that_is_here(mesh: Running, name: str) -> None:
    async with mesh.http.post("/", json={**PAYLOAD, "controlnet_type": name}, headers=PNG) as response:
        assert response.status == 200
    assert mesh.rooms.seen.prepared[0].controls[0].kind == "canny"


@pytest.mark.parametrize(
    "name",
    ["pose", "depth", "scribble", "segmentation", "normal", "hed", "hough", "though", "openpose", "seg", "mlsd",
     "softedge", "lineart", None],
)  # fmt: skip
async def test_a_known_type_that_is_not_here_is_refused_with_what_is(mesh: Running, name: str | None) -> None:
    text = await refused(mesh, json={**PAYLOAD, "controlnet_type": name})
    assert text == f"controlnet_type {name or 'normal'!r} is not available here; available: canny_edge"


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
        ({"height": 100}, "height must be a whole number from 64 to 1024, a multiple of 8"),
        ({"guidance_scale": 21}, "guidance_scale must be a number from 1 to 20"),
        ({"controlnet_conditioning_scale": -1}, "controlnet_conditioning_scale must be a number from 0 to 20"),
        ({"scheduler": "Nope"}, "scheduler 'Nope' can't be used"),
        ({"scheduler": 7}, "scheduler must be a name"),
        ({"parameters": []}, "parameters must be an object"),
        ({"guess_mode": "yes"}, "guess_mode must be true or false, not 'yes'"),
        ({"clip_skip": 9}, "clip_skip must be a whole number from 0 to 8, not 9"),
        ({"control_guidance_start": [0.1]}, "control_guidance_start must be a number from 0 to 1, not [0.1]"),
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


async def test_no_guidance_may_be_written_as_zero(mesh: Running) -> None:
    async with mesh.http.post("/", json={**PAYLOAD, "guidance_scale": 0}, headers=PNG) as response:
        assert response.status == 200
    assert mesh.rooms.seen.prepared[0].guidance is False


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
        (RuntimeError("0x7f"), 400, "an unexpected error happened"),
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


async def test_a_client_that_goes_away_takes_its_work_with_it(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    asking = asyncio.create_task(mesh.http.post("/", json=PAYLOAD))
    await mesh.rooms.seen.started.wait()
    asking.cancel()
    await asyncio.wait_for(mesh.rooms.seen.cancelled.wait(), 1)


@pytest.mark.parametrize("path", ["/", "/health", "/hf/any", "/hf/any/health"])
async def test_health(mesh: Running, path: str) -> None:
    async with mesh.http.get(path) as response:
        assert (response.status, await response.text()) == (200, "Ok")
        assert response.content_type == "text/plain"


async def test_the_gauges_of_an_endpoint(mesh: Running) -> None:
    async with mesh.http.get("/hf/any/metrics") as response:
        assert await response.text() == "inf_batch_current_size 0\ninf_queue_size 0\n"
