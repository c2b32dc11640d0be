"""Image-to-image, inpainting, guess mode, options and previews, from the native API into the rooms and back."""

import asyncio
import base64
from typing import Any

import numpy as np
import pytest

from mesh.errors import InvalidInput
from mesh.pictures import decode, encode
from tests.contract.conftest import Running
from tests.contract.native.test_api import API, events

SOURCE = encode(np.full((64, 96, 3), 50, np.uint8))
OTHER = encode(np.full((128, 128, 3), 90, np.uint8), "JPEG")
MASK = encode(np.full((32, 48, 3), 255, np.uint8), "WEBP")


def sent(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def make(mesh: Running, **body: Any) -> dict[str, Any]:
    """The record of a generation that must succeed."""
    async with mesh.http.post(
        f"{API}/generations", json={"prompt": "a boat", "steps": 4, "seed": 1, **body}
    ) as response:
        record: dict[str, Any] = await response.json(content_type=None)
        assert response.status == 200, record
    return record


async def test_a_picture_is_encoded_once_and_every_sample_starts_from_it(mesh: Running) -> None:
    record = await make(mesh, image=sent(SOURCE), strength=0.5, samples=3)
    (encoded,) = mesh.rooms.seen.encoded
    assert (encoded.model, encoded.width, encoded.height, encoded.image.content) == ("demo", 96, 64, SOURCE)
    (prepared,) = mesh.rooms.seen.prepared
    assert (prepared.picture_width, prepared.picture_height, prepared.width, prepared.height) == (96, 64, 0, 0)
    assert not prepared.HasField("mask")
    assert [(asked.strength, asked.initial.mean.shape[2:]) for asked in mesh.rooms.seen.denoised] == [
        (0.5, [8, 12])
    ] * 3
    assert len({asked.initial.SerializeToString() for asked in mesh.rooms.seen.denoised}) == 1
    assert record["progress"] == {"step": 6, "steps": 6}, "half of the steps are run"


async def test_a_size_that_is_known_is_encoded_for_while_the_words_are_prepared(mesh: Running) -> None:
    mesh.rooms.prepare_pace.clear()
    making = asyncio.create_task(make(mesh, image=sent(SOURCE), width=64, height=128))
    await asyncio.wait_for(mesh.rooms.seen.encoding.wait(), 2)
    assert mesh.rooms.seen.denoised == []
    mesh.rooms.prepare_pace.set()
    await making
    (encoded,) = mesh.rooms.seen.encoded
    assert (encoded.width, encoded.height) == (64, 128)


@pytest.mark.parametrize("size", [{}, {"width": 64, "height": 64}])
async def test_a_picture_that_can_t_be_encoded_fails_the_generation_and_stops_the_rest(
    mesh: Running, size: Any
) -> None:
    mesh.rooms.encode_failure = InvalidInput("image is broken", field="image")
    if size:
        # Were it not stopped, it would hold the answer back for ever.
        mesh.rooms.prepare_pace.clear()
    body = {"prompt": "a boat", "image": sent(SOURCE), **size}
    async with mesh.http.post(f"{API}/generations", json=body) as response:
        problem = await response.json(content_type=None)
        assert (response.status, problem["field"], problem["detail"]) == (422, "image", "image is broken")
    assert mesh.rooms.seen.denoised == [] and await mesh.gateway.jobs.load() == (0, 0)


async def test_without_a_picture_nothing_is_encoded(mesh: Running) -> None:
    await make(mesh)
    assert mesh.rooms.seen.encoded == [] and not mesh.rooms.seen.denoised[0].HasField("initial")
    assert not mesh.rooms.seen.denoised[0].HasField("strength")


async def test_the_usual_strength_is_filled_in_and_reported(mesh: Running) -> None:
    record = await make(mesh, image=sent(SOURCE))
    assert record["request"]["strength"] == 0.8 == mesh.rooms.seen.denoised[0].strength


async def test_a_mask_reaches_the_conditioning_and_a_control_s_own_only_that_control(mesh: Running) -> None:
    body = {
        "image": sent(SOURCE),
        "mask": f"data:image/webp;base64,{sent(MASK)}",
        "controls": [{"kind": "inpaint"}, {"kind": "inpaint", "image": sent(OTHER), "mask": sent(SOURCE)}],
    }
    await make(mesh, **body)
    (prepared,) = mesh.rooms.seen.prepared
    assert prepared.mask.content == MASK
    first, second = prepared.controls
    assert first.image.content == SOURCE and not first.HasField("mask"), "it takes those of the request"
    assert (second.image.content, second.mask.content) == (OTHER, SOURCE)
    assert mesh.rooms.seen.denoised[0].conditioning.HasField("mask")


async def test_an_inpaint_control_alone_needs_no_initial_picture(mesh: Running) -> None:
    await make(mesh, controls=[{"kind": "inpaint", "image": sent(SOURCE), "mask": sent(MASK)}])
    (prepared,) = mesh.rooms.seen.prepared
    assert prepared.controls[0].mask.content == MASK and not prepared.HasField("mask")
    assert mesh.rooms.seen.encoded == []


@pytest.mark.parametrize("prompt", [{}, {"prompt": None}, {"prompt": ""}])
async def test_in_guess_mode_the_prompt_may_be_left_out(mesh: Running, prompt: Any) -> None:
    body = {"guess_mode": True, "controls": [{"kind": "canny", "image": sent(SOURCE)}], "steps": 1, **prompt}
    async with mesh.http.post(f"{API}/generations", json=body) as response:
        record = await response.json(content_type=None)
        assert response.status == 200, record
    assert record["request"]["prompt"] == "" and mesh.rooms.seen.denoised[0].guess_mode


@pytest.mark.parametrize("prompt", ["", "  ", "<lora:x:0.8>"])
async def test_an_empty_prompt_is_taken_where_it_was_sent(mesh: Running, prompt: str) -> None:
    await make(mesh, prompt=prompt)
    assert [asked.prompt for asked in mesh.rooms.seen.prepared] == [prompt]


async def test_options_reach_the_loop_and_what_it_can_t_take_is_said_once(mesh: Running) -> None:
    taken = await make(
        mesh, scheduler="DPMSolverMultistepScheduler", use_karras_sigmas=True, algorithm_type="sde-dpmsolver++"
    )
    assert taken["notes"] == []
    asked = mesh.rooms.seen.denoised[-1]
    assert (asked.use_karras_sigmas, asked.algorithm_type) == (True, "sde-dpmsolver++")
    left = await make(mesh, scheduler="DDIMScheduler", use_karras_sigmas=True, algorithm_type="dpmsolver++", samples=4)
    assert left["notes"] == [
        "use_karras_sigmas was not applied: DDIMScheduler does not take it",
        "algorithm_type was not applied: DDIMScheduler does not take it",
    ]


async def test_off_is_not_the_same_as_left_out(mesh: Running) -> None:
    await make(mesh, use_karras_sigmas=False)
    await make(mesh, use_karras_sigmas=None)
    assert [asked.HasField("use_karras_sigmas") for asked in mesh.rooms.seen.denoised] == [True, False]


async def test_enhanced_words_are_reported_and_an_unknown_style_is_a_remark(mesh: Running) -> None:
    record = await make(mesh, enhance_prompt=True, enhance_style="comic", negative_prompt="fog")
    assert record["request"]["prompt"] == "a boat"
    assert record["effective_prompt"] == "comic of a boat, best quality"
    assert record["effective_negative_prompt"] == "fog, photo"
    plain = await make(mesh, enhance_style="nope", prompt_weighting=False)
    assert plain["notes"] == ["enhance_style 'nope' is unknown and was left out"]
    assert (plain["effective_prompt"], plain["effective_negative_prompt"]) == ("a boat", "")
    assert [prepared.prompt_weighting for prepared in mesh.rooms.seen.prepared] == [True, False]


async def test_an_inverting_scheduler_goes_from_the_picture_all_the_way(mesh: Running) -> None:
    record = await make(mesh, scheduler="DDIMInverseScheduler", image=sent(SOURCE))
    assert record["request"]["strength"] is None and not mesh.rooms.seen.denoised[0].HasField("strength")


async def test_what_a_record_holds_makes_the_same_picture_again_with_the_pictures(mesh: Running) -> None:
    pictures = {"image": sent(SOURCE), "mask": sent(MASK)}
    steering = [{"image": sent(OTHER), "mask": sent(SOURCE)}, {}]
    first = await make(
        mesh,
        **pictures,
        controls=[
            {"kind": "inpaint", "weight": 0.5, "end": 0.5, **steering[0]},
            {"kind": "canny", "start": 0.25, "parameters": {"low_threshold": 9}, **steering[1]},
        ],
        seed=None,
        samples=2,
        guess_mode=True,
        use_karras_sigmas=True,
        algorithm_type="dpmsolver++",
        scheduler="DPMSolverMultistepScheduler",
        prompt_weighting=False,
        enhance_prompt=True,
        enhance_style="comic",
        preview_every=3,
        keep_unmasked=True,
        clip_skip=2,
        format="webp",
    )
    prepared, denoised = mesh.rooms.seen.prepared.pop(), mesh.rooms.seen.denoised[:]
    mesh.rooms.seen.denoised.clear()
    request = first["request"] | pictures
    request["controls"] = [known | own for known, own in zip(request["controls"], steering, strict=True)]
    async with mesh.http.post(f"{API}/generations", json=request) as response:
        again = await response.json(content_type=None)
        assert response.status == 200, again
    assert again["request"] == first["request"]
    # The size that was derived the first time is given the second.
    prepared.width, prepared.height = 96, 64
    assert mesh.rooms.seen.prepared == [prepared]
    assert sorted(asked.SerializeToString(deterministic=True) for asked in mesh.rooms.seen.denoised) == sorted(
        asked.SerializeToString(deterministic=True) for asked in denoised
    )
    contents = []
    for record in (first, again):
        async with mesh.http.get(record["images"][0]["url"]) as response:
            contents.append(await response.read())
    assert contents[0] == contents[1]


async def test_a_record_shows_no_picture_while_it_runs_nor_after(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    body = {
        "prompt": "a boat",
        "image": sent(SOURCE),
        "mask": sent(MASK),
        "controls": [{"kind": "inpaint", "image": sent(OTHER), "mask": sent(MASK)}],
    }
    async with mesh.http.post(f"{API}/generations?wait=0", json=body) as response:
        running, place = await response.json(), response.headers["Location"]
    assert running["effective_prompt"] is None
    mesh.rooms.pace.set()
    async with mesh.http.get(f"{place}/events") as response:
        *_, (_, done) = [event async for event in events(response)]
    for record in (running, done):
        assert not {"image", "mask"} & set(record["request"])
        assert not {"image", "mask"} & set(record["request"]["controls"][0])


async def test_previews_come_with_the_progress_each_once(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    body = {"prompt": "a boat", "steps": 5, "seed": 9, "width": 64, "height": 128, "preview_every": 2}
    async with mesh.http.post(f"{API}/generations?wait=0", json=body) as response:
        place = response.headers["Location"]
    seen: list[tuple[int, int]] = []
    async with mesh.http.get(f"{place}/events") as response:
        async for kind, event in events(response):
            mesh.rooms.pace.set()
            if kind != "progress":
                assert "preview" not in event
                continue
            if "preview" in event:
                head, _, content = event["preview"].partition(",")
                assert head == "data:image/png;base64"
                pixels = decode(base64.b64decode(content))
                assert pixels.shape == (16, 8, 3), "one pixel a latent cell"
                seen.append((event["preview_of"], event["preview_step"]))
                assert tuple(pixels[0, 0]) == (9, event["preview_step"], 0)
    assert seen and len(seen) == len(set(seen)) and set(seen) <= {(0, 2), (0, 4)}


async def test_without_previews_no_event_has_one(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    async with mesh.http.post(f"{API}/generations?wait=0", json={"prompt": "a boat", "steps": 3}) as response:
        place = response.headers["Location"]
    await mesh.rooms.seen.started.wait()
    mesh.rooms.pace.set()
    async with mesh.http.get(f"{place}/events") as response:
        assert not [event async for _, event in events(response) if "preview" in event]
