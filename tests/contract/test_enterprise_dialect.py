"""The enterprise dialect: documented requests, replies key by key and type by type, polling, errors in both modes."""

import asyncio
import base64
import json
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from gateway.dialects.enterprise import CONTROLNET_PATHS, FETCH_PATHS
from mesh.errors import InvalidInput, Unavailable
from mesh.pictures import check, encode
from tests.contract.conftest import Running, Start

PATH = "/api/v1/enterprise/controlnet"
CONTENT = encode(np.zeros((64, 96, 3), np.uint8))
PICTURE = base64.b64encode(CONTENT).decode()
# The fields of the documented sample, with their odd types.
SAMPLE: dict[str, Any] = {
    "key": "enterprise_api_key",
    "controlnet_model": "canny",
    "controlnet_type": "canny",
    "model_id": "midjourney",
    "auto_hint": "yes",
    "guess_mode": "no",
    "prompt": "a model doing photoshoot",
    "negative_prompt": None,
    "init_image": PICTURE,
    "mask_image": None,
    "width": "512",
    "height": "512",
    "samples": "1",
    "scheduler": "UniPCMultistepScheduler",
    "num_inference_steps": "30",
    "safety_checker": "no",
    "enhance_prompt": "yes",
    "guidance_scale": 7.5,
    "strength": 0.55,
    "seed": None,
    "webhook": None,
    "track_id": None,
}
ALIASES = {"model_aliases": ("midjourney=demo",)}
SUCCESS = {
    "status": str, "generationTime": float, "id": int, "output": list, "proxy_links": list, "future_links": list,
    "webhook_status": str, "meta": dict, "tip": str,
}  # fmt: skip
META = {
    "prompt": str, "model_id": str, "controlnet_model": str, "controlnet_type": str, "negative_prompt": str,
    "scheduler": str, "safetychecker": str, "safety_checker": str, "safety_checker_type": str, "auto_hint": str,
    "guess_mode": str, "strength": float, "W": int, "H": int, "guidance_scale": float,
    "controlnet_conditioning_scale": str, "seed": int, "multi_lingual": str, "use_karras_sigmas": str,
    "algorithm_type": str, "tomesd": str, "instant_response": str, "init_image": str, "mask_image": type(None),
    "control_image": type(None), "vae": type(None), "steps": int, "full_url": str, "upscale": str, "n_samples": int,
    "ip_adapter_id": type(None), "ip_adapter_scale": float, "ip_adapter_image": type(None), "enhance_prompt": str,
    "enhance_style": type(None), "embeddings": type(None), "lora": type(None), "lora_strength": int, "watermark": str,
    "temp": str, "base64": str, "clip_skip": int, "outdir": str, "file_prefix": str,
}  # fmt: skip
PROCESSING = {
    "status": str, "tip": str, "tip_1": str, "eta": (int, float), "messege": str, "message": str, "webhook_status": str,
    "fetch_result": str, "id": int, "output": str, "future_links": list, "meta": dict,
}  # fmt: skip

NOT_READY = {
    "status": str, "id": int, "eta": (int, float), "messege": str, "message": str, "output": str, "tip": str,
}  # fmt: skip


def shaped(body: dict[str, Any], shape: dict[str, Any]) -> None:
    """`body` has exactly the keys of `shape`, each of its type; a bool is no int."""
    assert set(body) == set(shape)
    for name, kind in shape.items():
        assert isinstance(body[name], kind) and not isinstance(body[name], bool), (name, body[name])


async def ask(mesh: Running, path: str = PATH, status: int = 200, **change: Any) -> dict[str, Any]:
    async with mesh.http.post(path, json={**SAMPLE, **change}) as response:
        assert response.status == status, await response.text()
        assert response.content_type == "application/json"
        body: dict[str, Any] = await response.json()
        return body


async def poll(mesh: Running, body: dict[str, Any]) -> dict[str, Any]:
    """The answer of the place that `body` names for asking again."""
    async with mesh.http.post(body["fetch_result"], json={"key": "k"}) as response:
        polled: dict[str, Any] = await response.json()
        return polled


async def test_the_documented_sample_succeeds_with_the_documented_answer(start: Start) -> None:
    async with start(**ALIASES) as mesh:
        body = await ask(mesh)
        shaped(body, SUCCESS)
        shaped(body["meta"], META)
        assert body["status"] == "success" and 10_000_000 <= body["id"] <= 999_999_999
        assert body["output"] == body["proxy_links"] == body["future_links"] and len(body["output"]) == 1
        async with mesh.http.get(body["output"][0]) as response:
            assert check(await response.read()) == ("PNG", 512, 512)
        meta = body["meta"]
        assert (meta["W"], meta["H"], meta["steps"], meta["n_samples"]) == (512, 512, 30, 1)
        assert (meta["model_id"], meta["prompt"], meta["negative_prompt"]) == ("midjourney", SAMPLE["prompt"], "")
        assert (meta["controlnet_conditioning_scale"], meta["algorithm_type"]) == ("1.0", "no")
        assert body["tip"] == "enhance_prompt is not available; the prompt was used as sent."
        prepared, denoised = mesh.rooms.seen.prepared[0], mesh.rooms.seen.denoised[0]
        assert (prepared.model, prepared.width, prepared.clip_skip) == ("demo", 512, 0)
        assert (prepared.controls[0].kind, prepared.controls[0].auto_hint) == ("canny", True)
        assert (denoised.scheduler, denoised.steps, denoised.seed) == ("UniPCMultistepScheduler", 30, meta["seed"])


async def test_the_sample_with_its_picture_behind_a_url(start: Start) -> None:
    async def picture(_: web.BaseRequest) -> web.Response:
        return web.Response(body=CONTENT, content_type="image/png")

    runner = web.ServerRunner(web.Server(picture))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"127.0.0.1:{runner.addresses[0][1]}"
    url = f"http://{address}/input_image_vermeer.png"
    async with start(**ALIASES, fetch_allow=(address,)) as mesh:
        body = await ask(mesh, init_image=url)
        assert body["status"] == "success" and body["meta"]["init_image"] == url
        assert mesh.rooms.seen.prepared[0].controls[0].image.content == CONTENT
    async with start(**ALIASES) as mesh:
        body = await ask(mesh, init_image=url)
        assert body["status"] == "error" and "unable to fetch the picture of init_image" in body["message"]
    await runner.cleanup()


@pytest.mark.parametrize("path", [path for paths in CONTROLNET_PATHS.values() for path in paths])
async def test_every_path_answers_and_lets_browsers_in(mesh: Running, path: str) -> None:
    assert (await ask(mesh, path, model_id="demo"))["status"] == "success"
    async with mesh.http.options(path) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Headers"] == "content-type, authorization, key"
    async with mesh.http.post(path + "/", json={**SAMPLE, "model_id": ""}) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert (await response.json())["status"] == "success", "no model_id means the default model"


async def test_every_supported_field_reaches_the_rooms(mesh: Running) -> None:
    body = await ask(
        mesh,
        model_id="demo",
        controlnet_model="canny, depth",
        controlnet_type="canny",
        auto_hint="no",
        negative_prompt="fog",
        init_image=None,
        control_image=f"data:image/png;base64,{PICTURE}",
        width=600,
        height="128",
        samples=2,
        scheduler="DDIMScheduler",
        num_inference_steps="5",
        guidance_scale="3.5",
        controlnet_conditioning_scale="0.4,0.7",
        seed="77",
        clip_skip="2",
        track_id=7,
    )
    assert body["status"] == "success" and body["track_id"] == 7 and len(body["output"]) == 2
    assert "width" not in body.get("tip", "") or body["meta"]["W"] == 600
    prepared = mesh.rooms.seen.prepared[0]
    assert (prepared.negative_prompt, prepared.width, prepared.height, prepared.clip_skip) == ("fog", 600, 128, 1)
    assert [(c.kind, c.auto_hint, round(c.weight, 3)) for c in prepared.controls] == [
        ("canny", False, 0.4),
        ("depth", False, 0.7),
    ]
    asked = sorted(mesh.rooms.seen.denoised, key=lambda request: request.seed)
    assert [(a.seed, a.steps, a.guidance_scale, a.scheduler) for a in asked] == [
        (77, 5, 3.5, "DDIMScheduler"),
        (78, 5, 3.5, "DDIMScheduler"),
    ]
    assert (body["meta"]["seed"], body["meta"]["clip_skip"], body["meta"]["controlnet_model"]) == (77, 2, "canny,depth")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"guess_mode": "yes", "prompt": ""}, "guess_mode is not available"),
        ({"mask_image": PICTURE}, "inpainting is not available"),
        ({"control_image": PICTURE}, "image-to-image is not available"),
        ({"tomesd": "yes"}, "tomesd has no effect"),
        ({"use_karras_sigmas": "yes"}, "use_karras_sigmas was not applied"),
        ({"algorithm_type": "dpmsolver+++"}, "algorithm_type was not applied"),
        ({"vae": "some-vae"}, "vae was not applied"),
        ({"lora_model": "more_details,anime"}, "lora_model was not applied"),
        ({"embeddings_model": "x"}, "embeddings_model was not applied"),
        ({"safety_checker": "yes"}, "the pictures were not checked"),
        ({"enhance_style": "anime"}, "enhance_style is not available"),
        ({"multi_lingual": True}, "multi_lingual is not available"),
        ({"ip_adapter_id": "ip-adapter_sd15"}, "ip_adapter_id was not applied"),
        ({"ip_adapter_image": "https://x.example/a.png"}, "ip_adapter_image was not applied"),
        ({"upscale": "yes"}, "upscale is not available"),
        ({"upscale": 2}, "upscale is not available"),
        ({"webhook": "https://x.example/hook"}, "webhook was not called"),
        ({"watermark": "yes"}, "watermark is not available"),
        ({"scheduler": "KarrasVeScheduler"}, "scheduler 'KarrasVeScheduler' is not available"),
        ({"samples": "9"}, "samples was set to 4"),
        ({"num_inference_steps": 99}, "num_inference_steps was set to 50"),
        ({"width": 5000}, "width was set to 1024"),
        ({"controlnet_conditioning_scale": 30}, "controlnet_conditioning_scale was set to 20"),
        ({"seed": 2**40}, "seed was set to"),
        ({"controlnet_model": "my-own-canny"}, "controlnet_model 'my-own-canny' is not loaded"),
    ],
)
async def test_what_is_not_taken_as_sent_is_said_in_the_tip(mesh: Running, change: dict[str, Any], words: str) -> None:
    body = await ask(mesh, **{"model_id": "demo", "enhance_prompt": "no", **change})
    assert body["status"] == "success", body
    assert words in body["tip"]


async def test_nothing_is_said_where_everything_was_taken(mesh: Running) -> None:
    assert "tip" not in await ask(mesh, model_id="demo", enhance_prompt="no", upscale="no", algorithm_type="none")


@pytest.mark.parametrize("seed", [None, "", "null", -1, "-1"])
async def test_a_seed_that_says_nothing_is_random_and_told(mesh: Running, seed: Any) -> None:
    first, second = [(await ask(mesh, model_id="demo", seed=seed))["meta"]["seed"] for _ in range(2)]
    assert first != second and all(0 <= value < 2**32 for value in (first, second))


async def test_the_tiers_have_their_own_defaults(mesh: Running) -> None:
    silent = {"model_id": "demo", "num_inference_steps": None, "strength": None, "scheduler": None, "width": None}
    enterprise, public = await ask(mesh, **silent), await ask(mesh, "/api/v5/controlnet", **silent)
    assert (enterprise["meta"]["steps"], enterprise["meta"]["strength"]) == (21, 0.7)
    assert (public["meta"]["steps"], public["meta"]["strength"]) == (30, 0.55)
    assert public["meta"]["scheduler"] == "UniPCMultistepScheduler" and public["meta"]["W"] == 512


async def test_aliases_that_clients_use(mesh: Running) -> None:
    body = await ask(mesh, model_id="demo", guidance_scale=None, guidance="3", num_inference_steps=None, steps=4,
                     clip_skip=None, clipskip=3, controlnet_model=None, controlnet_type=None, type="canny")  # fmt: skip
    assert (body["meta"]["guidance_scale"], body["meta"]["steps"]) == (3, 4)
    assert mesh.rooms.seen.prepared[0].clip_skip == 2


async def test_base64_answers_are_text_files_behind_their_links(mesh: Running) -> None:
    body = await ask(mesh, model_id="demo", base64="yes")
    async with mesh.http.get(body["output"][0]) as response:
        assert response.content_type == "text/plain"
        assert check(base64.b64decode(await response.text())) == ("PNG", 512, 512)
    async with mesh.http.post(f"/api/v3/fetch/{body['id']}", json={"key": "k"}) as response:
        assert (await response.json())["output"] == body["output"]


async def test_forms_are_read_like_json(mesh: Running) -> None:
    fields = {name: str(value) for name, value in {**SAMPLE, "model_id": "demo"}.items() if value is not None}
    async with mesh.http.post(PATH, data=fields) as response:
        assert response.headers["Content-Type"] == "application/json"
        assert (await response.json())["status"] == "success"
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value) if name != "init_image" else form.add_field(name, CONTENT, filename="a.png")
    async with mesh.http.post(PATH, data=form) as response:
        assert (await response.json())["status"] == "success"
    assert [p.controls[0].image.content for p in mesh.rooms.seen.prepared] == [CONTENT, CONTENT]
    async with mesh.http.post(
        PATH, data=json.dumps({**SAMPLE, "model_id": "demo"}), skip_auto_headers=["Content-Type"]
    ) as r:
        assert (await r.json())["status"] == "success", "the documented curl line names no type"


async def test_what_takes_longer_than_the_hold_is_polled(start: Start) -> None:
    async with start(enterprise_hold_s=0.05) as mesh:
        mesh.rooms.pace.clear()
        body = await ask(mesh, "/api/v5/controlnet", model_id="demo", enhance_prompt="no", num_inference_steps=2)
        shaped(body, PROCESSING)
        shaped(body["meta"], META)
        assert body["status"] == "processing" and body["output"] == "" and body["messege"] == body["message"]
        assert body["fetch_result"] == f"{mesh.url}/api/v6/images/fetch/{body['id']}" and body["eta"] >= 1
        async with mesh.http.get(body["future_links"][0]) as response:
            assert response.status == 404, "the link is known before the picture is there"
        polled = await poll(mesh, body)
        shaped(polled, NOT_READY)
        assert polled["status"] == "processing" and polled["message"] == "try again later."
        mesh.rooms.pace.set()
        async with asyncio.timeout(5):
            # Polling is what this dialect's clients do; it has no other way to tell.
            while (await poll(mesh, body))["status"] == "processing":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for path in FETCH_PATHS:
            async with mesh.http.post(f"{path}/{body['id']}", json={"key": "k"}) as response:
                one = await response.json()
            async with mesh.http.post(path, json={"key": "k", "request_id": str(body["id"])}) as response:
                two = await response.json()
            async with mesh.http.get(f"{path}/{body['id']}?key=k") as response:
                three = await response.json()
            assert one == two == three
        shaped(one, {"status": str, "id": int, "output": list, "proxy_links": list, "future_links": list})
        assert one["status"] == "success" and one["output"] == body["future_links"]
        async with mesh.http.get(one["output"][0]) as response:
            assert response.status == 200


async def test_instant_response_answers_at_once_and_the_work_goes_on(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    body = await ask(mesh, model_id="demo", instant_response="yes")
    assert body["status"] == "processing" and body["fetch_result"].endswith(f"/api/v1/enterprise/fetch/{body['id']}")
    assert isinstance(body["eta"], int)
    await mesh.rooms.seen.started.wait()
    assert mesh.parts.jobs.load() == (1, 0)


async def test_a_failure_is_told_at_once_and_when_polled(start: Start) -> None:
    failed = {"status": str, "id": int, "message": str, "messege": str, "output": str, "tip": str}
    async with start() as mesh:
        mesh.rooms.failure = Unavailable("the model server does not answer")
        body = await ask(mesh, model_id="demo")
        shaped(body, failed)
        assert (body["status"], body["message"], body["output"]) == ("failed", "Failed, Try Again", "")
        assert body["tip"] == "the model server does not answer"
        async with mesh.http.post(f"/api/v3/fetch/{body['id']}", json={}) as response:
            assert await response.json() == body
        mesh.rooms.failure = InvalidInput("controls[0].image is broken", field="controls[0].image")
        body = await ask(mesh, model_id="demo")
        assert (body["status"], body["message"]) == ("error", "init_image is broken")


REQUIRED = {
    "prompt": "The prompt field is required.",
    "init_image": "The init image field is required.",
    "controlnet_model": "The controlnet model field is required.",
}


@pytest.mark.parametrize("field", REQUIRED)
@pytest.mark.parametrize("nothing", [None, "", "null"])
async def test_a_missing_field_is_named_in_an_object(mesh: Running, field: str, nothing: Any) -> None:
    body = await ask(mesh, **{"model_id": "demo", "controlnet_type": nothing, field: nothing})
    if field != "controlnet_model":
        body = await ask(mesh, **{"model_id": "demo", field: nothing})
    assert body == {"status": "error", "message": {field: [REQUIRED[field]]}, "messege": {field: [REQUIRED[field]]}}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_id": "nope"}, "Model not found: nope"),
        ({"model_id": "../../etc"}, "Model not found: ../../etc"),
        ({"controlnet_model": "hed"}, "controlnet_model 'hed' is not available here; available: canny"),
        ({"controlnet_model": "depth"}, "controlnet_model 'depth' is not available here; available: canny"),
        ({"controlnet_model": ",".join(["canny"] * 6)}, "controlnet_model may name at most 5 controls."),
        ({"width": "wide"}, "The width must be a number."),
        ({"samples": {}}, "The samples must be a number."),
        ({"auto_hint": "maybe"}, "The auto hint must be yes or no."),
        ({"init_image": "@@"}, "init_image is neither"),
        ({"init_image": "http://127.0.0.1:9/x.png"}, "unable to fetch the picture of init_image"),
        ({"prompt": "x" * 20_000}, "prompt has 20000 characters"),
        ({"prompt": []}, {"prompt": ["The prompt field is required."]}),
    ],
)
@pytest.mark.parametrize("mode", ["legacy", "strict"])
async def test_errors_have_one_body_and_the_status_of_the_mode(
    start: Start, mode: str, change: Any, words: Any
) -> None:
    async with start(enterprise_status=mode) as mesh:
        body = await ask(mesh, status=200 if mode == "legacy" else 400, **{"model_id": "demo", **change})
        assert set(body) == {"status", "message", "messege"} and body["message"] == body["messege"]
        assert body["status"] == "error"
        assert body["message"].startswith(words) if isinstance(words, str) else body["message"] == words
        # The newest version always tells by its status.
        await ask(mesh, "/api/v7/images/controlnet", status=400, **{"model_id": "demo", **change})


async def test_an_unknown_model_may_mean_the_default_one(start: Start) -> None:
    async with start(unknown_model="default") as mesh:
        body = await ask(mesh)
        assert body["status"] == "success" and "model_id 'midjourney' is not loaded; demo was used." in body["tip"]
        assert body["meta"]["model_id"] == "midjourney" and mesh.rooms.seen.prepared[0].model == "demo"


@pytest.mark.parametrize(("mode", "status"), [("legacy", 200), ("strict", 401)])
async def test_keys_in_the_body_in_headers_and_for_reading_in_the_query(start: Start, mode: str, status: int) -> None:
    async with start(api_keys=("good", "other"), enterprise_status=mode) as mesh:
        for key in ("", None, "bad"):
            body = await ask(mesh, status=status, key=key)
            assert (body["status"], body["message"]) == ("error", "Invalid Api Key") and body["tip"].startswith("1. ")
        body = await ask(mesh, model_id="demo", key="good")
        assert body["status"] == "success"
        for headers in ({"key": "good"}, {"Authorization": "Bearer good"}):
            sent = {**SAMPLE, "model_id": "demo", "key": ""}
            async with mesh.http.post(PATH, json=sent, headers=headers) as response:
                assert (await response.json())["status"] == "success"
        async with mesh.http.post(f"{PATH}?key=good", json={**SAMPLE, "key": ""}) as response:
            assert response.status == status, "a key in a URL is read for polling only"
        fetch = f"/api/v6/images/fetch/{body['id']}"
        async with mesh.http.get(f"{fetch}?key=good") as response:
            assert (await response.json())["status"] == "success"
        async with mesh.http.get(fetch) as response:
            assert (await response.json())["message"] == "Invalid Api Key"
        async with mesh.http.post(fetch, json={"key": "other"}) as response:
            assert (await response.json())["message"] == "Request not found", "another key's request"


@pytest.mark.parametrize("asked", ["1", "999999999", "x", "-1", "1e9", "１２３", "9" * 40])
async def test_an_unknown_request(mesh: Running, asked: str) -> None:
    async with mesh.http.post("/api/v6/images/fetch", json={"key": "k", "request_id": asked}) as response:
        body = await response.json()
        assert (response.status, body["status"], body["message"]) == (200, "error", "Request not found")
    async with mesh.http.post("/api/v7/images/fetch", json={"key": "k", "request_id": asked}) as response:
        assert response.status == 404


async def test_too_many_are_told_when_to_come_back(start: Start) -> None:
    for mode, status in (("legacy", 200), ("strict", 429)):
        async with start(max_pictures=4, max_waiting=1, enterprise_status=mode) as mesh:
            mesh.rooms.pace.clear()
            for _ in range(2):
                await ask(mesh, model_id="demo", samples=4, instant_response="yes")
            body = await ask(mesh, status=status, model_id="demo", samples=4)
            assert (body["status"], body["message"], body["retry_after"]) == ("error", "Rate limit exceeded", 5)
            assert isinstance(body["tips"], str)


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"prompt": NaN}', b'{"a":' * 100_000])
async def test_what_is_no_json_is_a_real_400(mesh: Running, body: bytes) -> None:
    async with mesh.http.post(PATH, data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 400 and (await response.json())["status"] == "error"


async def test_a_client_that_goes_away_takes_its_work_with_it(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    asking = asyncio.create_task(mesh.http.post(PATH, json={**SAMPLE, "model_id": "demo"}))
    await mesh.rooms.seen.started.wait()
    asking.cancel()
    await asyncio.wait_for(mesh.rooms.seen.cancelled.wait(), 1)
