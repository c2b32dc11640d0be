"""The Scenario dialect: what of a request reaches the rooms, and what the caller is told of the rest."""

from typing import Any

import pytest

from mesh.errors import InvalidInput
from tests.contract.conftest import Running, Start
from tests.rigs.scenario_client import BODY, DATA_URL, ask, data_url, ended, grey, made, refused, submit

CONTROL, INIT, MASK = grey(20), grey(30), grey(255)


async def test_every_field_reaches_the_rooms(mesh: Running) -> None:
    await made(
        mesh,
        controlImage=data_url(CONTROL),
        modality="canny:0.5,depth:0.25",
        disableModalityDetection=True,
        negativePrompt="fog",
        width=256,
        height=64,
        numSamples=2,
        numInferenceSteps=5,
        guidance=6,
        scheduler="EulerDiscrete",
        seed="77",
        controlStart=0.1,
        controlEnd=0.9,
    )
    (prepared,) = mesh.rooms.seen.prepared
    assert (prepared.prompt, prepared.negative_prompt) == ("a superhero in a dynamic pose", "fog")
    assert (prepared.model, prepared.width, prepared.height, prepared.guidance) == ("demo", 256, 64, True)
    assert [
        (c.kind, c.auto_hint, c.image.content, *(round(n, 3) for n in (c.weight, c.start, c.end)))
        for c in prepared.controls
    ] == [("canny", False, CONTROL, 0.5, 0.1, 0.9), ("depth", False, CONTROL, 0.25, 0.1, 0.9)]
    asked = sorted(mesh.rooms.seen.denoised, key=lambda request: request.seed)
    assert [(a.seed, a.steps, a.guidance_scale, a.scheduler) for a in asked] == [
        (77, 5, 6, "EulerDiscreteScheduler"),
        (78, 5, 6, "EulerDiscreteScheduler"),
    ]


async def test_what_is_left_out_has_the_documented_value(mesh: Running) -> None:
    job = await made(
        mesh, guidance=None, numInferenceSteps=None, numSamples=None, width=None, height=None, modality="canny"
    )
    prepared, denoised = mesh.rooms.seen.prepared[0], mesh.rooms.seen.denoised[0]
    assert (prepared.width, prepared.height) == (512, 512)
    assert (denoised.guidance_scale, denoised.steps, denoised.scheduler) == (7.5, 30, "DDIMScheduler")
    (control,) = prepared.controls
    assert (control.auto_hint, control.weight, control.start, control.end) == (True, 1, 0, 1)
    assert len(job["metadata"]["assetIds"]) == 1 and "hint" not in job["metadata"]
    assert set(job["metadata"]["input"]) == {"prompt", "controlImage", "modality", "modelId", "type"}


@pytest.mark.parametrize(
    ("path", "change", "control", "initial"),
    [
        ("controlnet", {"controlImage": data_url(CONTROL)}, CONTROL, None),
        ("controlnet", {"controlImage": data_url(CONTROL), "image": data_url(INIT)}, CONTROL, None),
        ("controlnet", {"controlImage": None, "image": data_url(CONTROL)}, CONTROL, None),
        ("controlnet", {"controlImage": "", "image": data_url(CONTROL)}, CONTROL, None),
        ("controlnet", {"controlImage": data_url(CONTROL), "controlImageId": "asset_x"}, CONTROL, None),
        ("controlnet-img2img", {"controlImage": data_url(CONTROL), "image": data_url(INIT)}, CONTROL, INIT),
        ("controlnet-img2img", {"controlImage": data_url(INIT), "image": data_url(INIT)}, INIT, INIT),
        ("img2img", {"image": data_url(INIT)}, None, INIT),
        ("txt2img", {}, None, None),
    ],
)
async def test_which_picture_plays_which_part(
    mesh: Running, path: str, change: dict[str, Any], control: bytes | None, initial: bytes | None
) -> None:
    await made(mesh, path, **change)
    prepared, encoded = mesh.rooms.seen.prepared[0], mesh.rooms.seen.encoded
    assert [one.image.content for one in prepared.controls] == ([control] if control else [])
    assert [one.image.content for one in encoded] == ([initial] if initial else [])


async def test_inpainting_repaints_what_is_white(mesh: Running) -> None:
    await made(mesh, "controlnet-inpaint", image=data_url(INIT), mask=data_url(MASK), strength=0.5)
    assert mesh.rooms.seen.prepared[0].mask.content == MASK
    assert mesh.rooms.seen.denoised[0].strength == 0.5


async def test_a_picture_without_use_is_told(mesh: Running) -> None:
    job = await made(mesh, image=data_url(INIT), maskId="asset_x")
    assert job["metadata"]["hint"] == (
        "image was not used: this route does not use it. maskId was not used: this route does not use it."
    )
    assert "image" not in job["metadata"]["input"]


async def test_a_picture_that_is_sent_twice_is_kept_once(mesh: Running) -> None:
    job = await made(mesh, "controlnet-img2img", image=DATA_URL)
    sent = job["metadata"]["input"]
    assert sent["image"] == sent["controlImage"]
    assert len((await ask(mesh, "GET", "/v1/assets?types=uploaded"))["assets"]) == 1


async def test_a_dry_run_makes_and_keeps_nothing(mesh: Running) -> None:
    await ask(mesh, "POST", "/v1/generate/controlnet?dryRun=true", BODY, 269)
    assert await ask(mesh, "GET", "/v1/assets") == {"assets": []}
    assert await ask(mesh, "GET", "/v1/jobs") == {"jobs": []}
    async with mesh.http.post("/v1/generate/txt2img?dryRun=true", json={"prompt": "x", "modelId": "demo"}) as response:
        assert (await response.text()).startswith('{"creativeUnitsCost":0,'), "one client reads the price from the text"
    job = await made(mesh, dryRun=True, type="controlnet")
    assert job["status"] == "success", "in a body the word means nothing"


@pytest.mark.parametrize(
    ("seed", "used", "told"),
    [
        (7, 7, "7"),
        ("7", 7, "7"),
        (" 8 ", 8, "8"),
        (7.0, 7, "7"),
        (2**32 + 5, 5, str(2**32 + 5)),
        ("18446744073709551615", 2**32 - 1, "18446744073709551615"),
    ],
)
async def test_a_seed_is_a_number_or_text(mesh: Running, seed: Any, used: int, told: str) -> None:
    job = await made(mesh, seed=seed)
    assert mesh.rooms.seen.denoised[0].seed == used
    assert job["metadata"]["input"]["seed"] == told
    assert ("modulo" in job["metadata"].get("hint", "")) == (used != int(told))


@pytest.mark.parametrize("seed", [None, "", -1, "-1"])
async def test_a_seed_that_says_nothing_is_random(mesh: Running, seed: Any) -> None:
    jobs = [await made(mesh, seed=seed) for _ in range(2)]
    first, second = (request.seed for request in mesh.rooms.seen.denoised)
    assert first != second and all("seed" not in job["metadata"]["input"] for job in jobs)


@pytest.mark.parametrize("seed", ["x", "7.5", 7.5, True, -2, "--5", [], "٣", "9" * 30])
async def test_a_seed_that_is_none_is_refused(mesh: Running, seed: Any) -> None:
    assert '"seed" must be a whole number' in await refused(mesh, seed=seed)


async def test_schedulers_by_any_of_their_names(mesh: Running) -> None:
    await made(mesh, scheduler="unipcmultistep")
    assert mesh.rooms.seen.denoised[-1].scheduler == "UniPCMultistepScheduler"
    job = await made(mesh, scheduler="TCDScheduler")
    assert job["metadata"]["hint"] == "scheduler TCDScheduler is not available; the model's own was used."
    assert mesh.rooms.seen.denoised[-1].scheduler == "DDIMScheduler"
    assert "available: DDIMScheduler" in await refused(mesh, scheduler="NoScheduler")
    assert "unknown" in await refused(mesh, scheduler="DDIMInverse"), "it is none of the vendor's"


async def test_guidance_below_one_is_none(mesh: Running) -> None:
    await made(mesh, guidance=0)
    assert mesh.rooms.seen.denoised[0].guidance_scale == 1 and not mesh.rooms.seen.prepared[0].guidance


async def test_more_pictures_than_are_made_at_once(mesh: Running) -> None:
    job = await made(mesh, numSamples=128)
    assert len(job["metadata"]["assetIds"]) == 4
    assert job["metadata"]["hint"] == "numSamples was set to 4, the maximum of one request; send several for more."


async def test_a_preset_is_made_of_what_there_is(mesh: Running) -> None:
    job = await made(mesh, modality="landscape:0.5")
    assert [(c.kind, c.weight) for c in mesh.rooms.seen.prepared[0].controls] == [("canny", 0.5)]
    assert "without seg" in job["metadata"]["hint"]


@pytest.mark.parametrize("route", ["inpaint", "controlnet-inpaint", "custom/demo"])
@pytest.mark.parametrize("disabled", [None, False, True])
async def test_what_the_mask_keeps_is_merged_unless_that_is_disabled(
    mesh: Running, route: str, disabled: bool | None
) -> None:
    chosen = {} if disabled is None else {"disableMerging": disabled}
    control = {"controlImage": None, "modality": None} if route != "controlnet-inpaint" else {}
    job = await made(mesh, route, image=data_url(INIT), mask=data_url(MASK), strength=0.5, **chosen, **control)
    (asked,) = mesh.rooms.seen.decoded
    assert (asked.HasField("original"), asked.HasField("mask")) == (not disabled, not disabled)
    assert asked.original.content == (b"" if disabled else INIT)
    assert job["metadata"]["input"].get("disableMerging") == disabled


async def test_merging_is_chosen_by_true_or_false(mesh: Running) -> None:
    sent = {"image": data_url(INIT), "mask": data_url(MASK)}
    assert "disableMerging" in await refused(mesh, "inpaint", **sent, disableMerging="yes")
    await made(mesh, "img2img", image=data_url(INIT))
    assert not mesh.rooms.seen.decoded[0].HasField("original"), "nothing is kept"


async def test_models_by_their_aliases(start: Start) -> None:
    async with start(model_aliases=("flux.1-dev=demo", "model_bfl-flux-1-dev=demo")) as mesh:
        job = await made(mesh, modelId="flux.1-dev")
        assert (job["jobType"], job["metadata"]["input"]["modelId"]) == ("flux", "flux.1-dev")
        assert mesh.rooms.seen.prepared[0].model == "demo"
        models = (await ask(mesh, "GET", "/v1/models"))["models"]
        assert [model["id"] for model in models] == ["demo", "flux.1-dev", "model_bfl-flux-1-dev"]
        times = {time for model in models for time in (model["createdAt"], model["updatedAt"])}
        assert times == {"2023-01-25T11:52:22.000Z"}, "when the model was exported"
        ids: list[str] = []
        page = await ask(mesh, "GET", "/v1/models?pageSize=2")
        ids += [model["id"] for model in page["models"]]
        page = await ask(mesh, "GET", f"/v1/models?pageSize=2&paginationToken={page['nextPaginationToken']}")
        assert [*ids, *(model["id"] for model in page["models"])] == ["demo", "flux.1-dev", "model_bfl-flux-1-dev"]
        assert "nextPaginationToken" not in page


async def test_an_unknown_model_may_stand_for_the_default_one(start: Start) -> None:
    async with start(unknown_model="default") as mesh:
        job = await made(mesh, modelId="YOUR_MODEL_ID")
        assert job["metadata"]["hint"] == "Model YOUR_MODEL_ID is not loaded; demo was used."


async def test_the_newer_route_takes_what_the_model_publishes(mesh: Running) -> None:
    inputs = (await ask(mesh, "GET", "/v1/models/demo"))["model"]["inputs"]
    sent: dict[str, Any] = {"prompt": "a boat", "controlImage": DATA_URL, "controlModality": "canny", "image": DATA_URL}
    for one in inputs:
        if one["type"] == "number":
            sent.setdefault(one["name"], one.get("default", one["min"]))
    sent |= {"negativePrompt": "fog", "scheduler": "DDIMScheduler", "disableModalityDetection": False, "mask": DATA_URL}
    assert {one["name"] for one in inputs} == set(sent), "all of them, and nothing else, is sent"
    body = await ended(mesh, await ask(mesh, "POST", "/v1/generate/custom/demo", sent))
    assert body["job"]["status"] == "success"
    assert set(body["job"]["metadata"]["input"]) == {*sent, "type"}, "each of them counted"


async def test_the_newer_route_has_one_weight_for_all(mesh: Running) -> None:
    await made(mesh, "custom/demo", modelId=None, modality=None, controlModality="canny", controlStrength=0.4)
    assert round(mesh.rooms.seen.prepared[0].controls[0].weight, 3) == 0.4
    reason = await refused(mesh, "custom/demo", controlModality=None, modality=None)
    assert reason == '"controlModality" must be a string'


async def test_a_map_alone(mesh: Running) -> None:
    sent = {"image": DATA_URL, "modality": "canny", "lowThreshold": 20, "highThreshold": 60, "factor": 2}
    answer = await ask(mesh, "POST", "/v1/generate/detect", sent)
    job = (await ended(mesh, answer))["job"]
    (asked,) = mesh.rooms.seen.extracted
    assert (asked.control.kind, dict(asked.control.parameters)) == ("canny", {"low_threshold": 20})
    assert job["metadata"]["hint"] == (
        "highThreshold was not applied: this detector does not have that parameter. "
        "factor was not applied: this detector does not have that parameter."
    )
    assert not mesh.rooms.seen.denoised


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modality": "pose"}, "\"modality\" 'pose' has no loaded detector here; available: canny, normal"),
        ({"modality": "seg"}, "\"modality\" 'seg' is not a detector"),
        ({"modality": None}, '"modality" must be a string'),
        ({"image": None}, "one of image must hold a picture"),
        ({"lowThreshold": 256}, '"lowThreshold" must be a number from 0 to 255, not 256'),
        ({"lowThreshold": "5"}, '"lowThreshold" must be a number'),
        ({"image": "nothing, of the kind"}, "image is neither an http(s) URL, a data URL nor valid base64"),
    ],
)
async def test_a_map_that_can_t_be_had(mesh: Running, change: dict[str, Any], words: str) -> None:
    sent = {"image": DATA_URL, "modality": "canny", **change}
    body = {name: value for name, value in sent.items() if value is not None}
    assert words in (await ask(mesh, "POST", "/v1/generate/detect", body, 400))["reason"]


async def test_what_fails_later_is_told_in_the_client_s_words(mesh: Running) -> None:
    mesh.rooms.failure = InvalidInput("controls[0].image is broken", field="controls[0].image")
    job = (await ended(mesh, await submit(mesh)))["job"]
    assert (job["status"], job["error"]) == ("failure", "controlImage is broken")
    job = (await ended(mesh, await submit(mesh, controlImage=None, image=DATA_URL)))["job"]
    assert job["metadata"]["error"] == "image is broken"
