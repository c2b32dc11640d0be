"""The enterprise dialect: documented requests, and replies key by key and type by type."""

import base64
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.dialects.enterprise.paths import PATHS
from mesh.pictures import check
from tests.contract.conftest import Running, Start
from tests.rigs.enterprise_client import ALIASES, CONTENT, META, PATH, PICTURE, SAMPLE, SUCCESS, ask, shaped
from tests.rigs.offer import QUALITY


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
        assert (meta["model_id"], meta["negative_prompt"]) == ("midjourney", "")
        assert meta["prompt"] == f"{SAMPLE['prompt']}{QUALITY}", "the sample asks for enhancement"
        assert (meta["controlnet_conditioning_scale"], meta["algorithm_type"]) == ("1.0", "no")
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


@pytest.mark.parametrize("path", PATHS["controlnet"])
async def test_every_path_answers_and_lets_no_page_in(mesh: Running, path: str) -> None:
    assert (await ask(mesh, path, model_id="demo"))["status"] == "success"
    async with mesh.http.post(path + "/", json={**SAMPLE, "model_id": ""}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers
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
        ({"tomesd": "yes"}, "tomesd has no effect"),
        ({"vae": "some-vae"}, "vae was not applied"),
        ({"lora_model": "more_details,anime"}, "lora_model was not applied"),
        ({"embeddings_model": "x"}, "embeddings_model was not applied"),
        ({"safety_checker": "yes"}, "the pictures were not checked"),
        ({"multi_lingual": True}, "multi_lingual is not available"),
        ({"ip_adapter_id": "ip-adapter_sd15"}, "ip_adapter_id was not applied"),
        ({"ip_adapter_image": "https://x.example/a.png"}, "ip_adapter_image was not applied"),
        ({"upscale": "yes"}, "upscale is not available"),
        ({"upscale": 2}, "upscale is not available"),
        ({"watermark": "yes"}, "watermark is not available"),
        ({"scheduler": "KarrasVeScheduler"}, "scheduler 'KarrasVeScheduler' is not available"),
        ({"samples": "9"}, "samples was set to 4"),
        ({"num_inference_steps": 99}, "num_inference_steps was set to 50"),
        ({"width": 5000}, "width was set to 1024"),
        ({"controlnet_conditioning_scale": 30}, "controlnet_conditioning_scale was set to 20"),
        ({"seed": 2**40 + 7}, "seed was taken modulo 2^32: 7."),
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
        body = await response.json()
        assert body["status"] == "success", body
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value) if name != "init_image" else form.add_field(name, CONTENT, filename="a.png")
    async with mesh.http.post(PATH, data=form) as response:
        assert (await response.json())["status"] == "success"
    assert [p.controls[0].image.content for p in mesh.rooms.seen.prepared] == [CONTENT, CONTENT]


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded"])
async def test_the_documented_curl_line_names_no_type(start: Start, kind: str | None) -> None:
    """curl calls it a form. Without any type it is taken where a key is asked for: else any page could send it so."""
    content = json.dumps({**SAMPLE, "model_id": "demo", "key": "mine"})
    sent: dict[str, Any] = {"headers": {"Content-Type": kind}} if kind else {"skip_auto_headers": ["Content-Type"]}
    for keys, status in ((("mine",), "success"), ((), "success" if kind else "error")):
        async with start(api_keys=keys) as mesh, mesh.http.post(PATH, data=content, **sent) as response:
            assert (await response.json())["status"] == status


@pytest.mark.parametrize("path", [PATH, "/api/v6/controlnet"])
async def test_a_field_in_the_query_is_told_where_fields_are_read(start: Start, path: str) -> None:
    async with start(**ALIASES) as mesh:
        body = await ask(mesh, path=f"{path}?steps=4&key=abc&empty=")
    assert body["status"] == "success" and "abc" not in body["tip"]
    for name in ("steps", "key"):
        assert f"{name} was not used; fields are read from the body." in body["tip"]
    assert "empty" not in body["tip"]
