"""The Hugging Face dialect: the handler's payload, InferenceClient's payloads, negotiation, errors."""

import asyncio
import base64
import io
import json

import pytest
from PIL import Image

from gateway.dialects.common import notes
from mesh.pictures import check
from tests.contract.conftest import Running, Start
from tests.rigs.huggingface_client import CONTENT, PAYLOAD, PICTURE, PNG, refused

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
        told = json.loads(response.headers[notes.HEADER])
        assert "num_inference_steps was not used; this body has parameters, which count." in told
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


async def test_no_guidance_may_be_written_as_zero(mesh: Running) -> None:
    async with mesh.http.post("/", json={**PAYLOAD, "guidance_scale": 0}, headers=PNG) as response:
        assert response.status == 200
    assert mesh.rooms.seen.prepared[0].guidance is False


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


async def test_the_gauges_are_told_to_holders_of_keys_only(start: Start) -> None:
    async with start(api_keys=("hf_good",)) as mesh:
        for key, status in (("", 401), ("hf_bad", 401), ("hf_good", 200)):
            async with mesh.http.get("/hf/any/metrics", headers={"Authorization": f"Bearer {key}"}) as response:
                assert response.status == status
                assert ("inf_queue_size" in await response.text()) == (status == 200)
