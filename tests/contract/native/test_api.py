"""The native API over a real socket: records, waiting, progress, cancelling, errors by field."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import numpy as np
import pytest

from controlmesh.v1 import types_pb2
from gateway.jobs.job import Filter, Status
from mesh.errors import InvalidInput, Unavailable
from mesh.pictures import check, decode, encode
from tests.contract.conftest import Running, Start
from tests.rigs.offer import KINDS, UNLOADED

API = "/controlmesh/v1"
PICTURE = base64.b64encode(encode(np.zeros((64, 96, 3), np.uint8))).decode()
CANNY = {"kind": "canny", "image": PICTURE}
LOW = {"name": "low_threshold", "description": "Grey levels.", "minimum": 0, "maximum": 255, "default_value": 100}
PLAIN = {"available": True, "how_to_get": "", "stand_in": False, "reads_text": False, "annotator": "",
         "annotator_description": "", "source": "A paper."}  # fmt: skip


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Server-sent events as (event, data)."""
    kind = ""
    async for line in response.content:
        name, _, value = line.decode().strip().partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


async def test_a_generation_from_request_to_picture(mesh: Running) -> None:
    body = {
        "prompt": "a boat",
        "negative_prompt": "fog",
        "controls": [
            {**CANNY, "weight": 0.5, "start": 0.1, "end": 0.9, "parameters": {"low_threshold": 50}},
            {"kind": "depth", "image": f"data:image/png;base64,{PICTURE}", "auto_hint": False},
        ],
        "steps": 3,
        "guidance_scale": 3.0,
        "scheduler": "EulerDiscreteScheduler",
        "seed": 41,
        "samples": 2,
        "format": "jpeg",
        "clip_skip": 1,
    }
    async with mesh.http.post(f"{API}/generations", json=body) as response:
        record = await response.json()
        assert response.status == 200
        assert response.headers["Location"] == f"{API}/generations/{record['id']}"
    assert set(record) == {
        "id", "dialect", "status", "priority", "attempts", "progress", "images", "notes", "effective_prompt",
        "effective_negative_prompt", "error", "created_at", "started_at", "finished_at", "webhook", "deliveries",
        "request",
    }  # fmt: skip
    assert (record["dialect"], record["priority"], record["attempts"]) == ("native", 5, 1)
    assert record["status"] == "succeeded" and record["progress"] == {"step": 6, "steps": 6}
    assert [(image["seed"], image["width"], image["height"]) for image in record["images"]] == [
        (41, 96, 64),
        (42, 96, 64),
    ]
    kept = [{name: value for name, value in control.items() if name != "image"} for control in body["controls"]]
    defaults = {"auto_hint": True, "weight": 1.0, "start": 0.0, "end": 1.0, "parameters": {}, "extractor": None,
                "text": None}  # fmt: skip
    untouched = {
        "strength": None, "guess_mode": False, "use_karras_sigmas": None, "algorithm_type": None,
        "prompt_weighting": True, "enhance_prompt": False, "enhance_style": None, "preview_every": 0,
        "keep_unmasked": False, "true_guidance_scale": None,
        "original_width": None, "original_height": None, "crop_left": None, "crop_top": None,
    }  # fmt: skip
    assert record["request"] == {
        **body, **untouched, "model": "demo", "width": 96, "height": 64,
        "controls": [{**defaults, **control} for control in kept],
    }  # fmt: skip

    prepared = mesh.rooms.seen.prepared[0]
    assert (prepared.model, prepared.prompt, prepared.negative_prompt) == ("demo", "a boat", "fog")
    assert (prepared.guidance, prepared.width, prepared.height, prepared.clip_skip) == (True, 0, 0, 1)
    assert [control.kind for control in prepared.controls] == ["canny", "depth"]
    assert prepared.controls[0].image.content == base64.b64decode(PICTURE)
    assert prepared.controls[0].parameters == {"low_threshold": 50}
    asked = sorted(mesh.rooms.seen.denoised, key=lambda request: request.seed)
    assert [(a.scheduler, a.steps, a.guidance_scale, a.seed) for a in asked] == [
        ("EulerDiscreteScheduler", 3, 3.0, 41),
        ("EulerDiscreteScheduler", 3, 3.0, 42),
    ]

    for image in record["images"]:
        async with mesh.http.get(image["url"]) as picture:
            content = await picture.read()
            assert picture.headers["Content-Type"] == "image/jpeg"
            assert picture.headers["X-Content-Type-Options"] == "nosniff"
        assert check(content) == ("JPEG", 96, 64)
        assert abs(int(decode(content)[0, 0, 0]) - image["seed"]) <= 2, "each picture is that of its seed"
        async with mesh.http.get(image["url"] + ".base64") as text:
            assert base64.b64decode(await text.text()) == content


async def test_the_request_in_a_record_makes_the_same_generation_again(mesh: Running) -> None:
    async with mesh.http.post(f"{API}/generations", json={"prompt": "a boat", "steps": 2}) as response:
        first = await response.json()
    async with mesh.http.post(f"{API}/generations", json=first["request"]) as response:
        again = await response.json()
        assert response.status == 200, again
    assert again["request"] == first["request"] and first["request"]["seed"] == first["images"][0]["seed"]
    assert first["request"]["scheduler"] == "DDIMScheduler", "the model's own, by name"


async def test_a_control_names_its_extractor_or_brings_words(mesh: Running) -> None:
    """Neither is judged here: the kind is refused without them, or the control would need a picture."""
    controls = [{"kind": "depth", "image": PICTURE, "extractor": "lightness"}, {"kind": "qrcode", "text": "a b"}]
    async with mesh.http.post(f"{API}/generations", json={"prompt": "x", "controls": controls}) as response:
        record = await response.json()
        assert response.status == 200, record
    depth, code = mesh.rooms.seen.prepared[0].controls
    assert (depth.extractor, depth.text, depth.image.content) == ("lightness", "", base64.b64decode(PICTURE))
    assert (code.extractor, code.text, code.HasField("image")) == ("", "a b", False)
    assert [(one["extractor"], one["text"]) for one in record["request"]["controls"]] == [
        ("lightness", None),
        (None, "a b"),
    ]


@pytest.mark.parametrize(
    ("sent", "size"), [({}, (128, 128)), ({"width": 64, "height": 72}, (64, 72)), ({"image": PICTURE}, (96, 64))]
)
async def test_words_have_no_size_and_take_no_picture(
    mesh: Running, sent: dict[str, Any], size: tuple[int, int]
) -> None:
    body = {"prompt": "x", "controls": [{"kind": "qrcode", "text": "a b"}], **sent}
    async with mesh.http.post(f"{API}/generations", json=body) as response:
        record = await response.json()
    assert [(image["width"], image["height"]) for image in record["images"]] == [size]
    assert not mesh.rooms.seen.prepared[0].controls[0].HasField("image"), "the words take no other picture's place"
    async with mesh.http.post(f"{API}/generations", json={**record["request"], **sent}) as response:
        assert (await response.json())["request"] == record["request"]


async def test_without_guidance_only_one_row_is_asked_for(mesh: Running) -> None:
    async with mesh.http.post(f"{API}/generations", json={"prompt": "a boat", "guidance_scale": 1}):
        assert mesh.rooms.seen.prepared[0].guidance is False


async def test_what_takes_longer_than_wait_is_answered_with_its_record(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    async with mesh.http.post(f"{API}/generations?wait=0.05", json={"prompt": "a boat", "steps": 2}) as response:
        record = await response.json()
        assert response.status == 202
        assert record["status"] == "running" and record["images"] == [] and record["finished_at"] is None
        place = response.headers["Location"]
    async with mesh.http.get(place) as response:
        assert (await response.json())["status"] == "running"
    mesh.rooms.pace.set()
    async with mesh.http.get(f"{place}/events") as response:
        assert [kind async for kind, _ in events(response)][-1] == "result"
    async with mesh.http.get(place) as response:
        assert (await response.json())["status"] == "succeeded"


async def test_wait_zero_answers_at_once(mesh: Running) -> None:
    async with mesh.http.post(f"{API}/generations?wait=0", json={"prompt": "a boat"}) as response:
        assert response.status == 202 and (await response.json())["status"] in ("queued", "running")


@pytest.mark.parametrize("wait", ["-1", "301", "nan", "soon", ""])
async def test_another_wait_is_refused(mesh: Running, wait: str) -> None:
    async with mesh.http.post(f"{API}/generations?wait={wait}", json={"prompt": "a boat"}) as response:
        assert response.status == 422 and (await response.json())["field"] == "wait"


async def test_progress_arrives_while_it_runs(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    async with mesh.http.post(f"{API}/generations?wait=0", json={"prompt": "a boat", "steps": 2}) as response:
        record = await response.json()
    async with mesh.http.get(f"{API}/generations/{record['id']}/events") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        seen = []
        async for kind, data in events(response):
            seen.append((kind, data))
            if kind == "progress" and data["step"] == 1:
                assert data.pop("eta_s") is not None
                assert data == {"id": record["id"], "status": "running", "step": 1, "steps": 2}
                mesh.rooms.pace.set()
    assert seen[-1][0] == "result" and seen[-1][1]["status"] == "succeeded" and len(seen[-1][1]["images"]) == 1
    assert {kind for kind, _ in seen[:-1]} == {"progress"}


async def test_a_failure_is_an_event_and_stays_in_the_record(mesh: Running) -> None:
    mesh.rooms.failure = InvalidInput("controls[0].image is broken", field="controls[0].image")
    async with mesh.http.post(f"{API}/generations?wait=0", json={"prompt": "a boat"}) as response:
        place = response.headers["Location"]
    async with mesh.http.get(f"{place}/events") as response:
        kind, data = [event async for event in events(response)][-1]
    problem = {
        "type": f"{API}/problems/invalid",
        "title": "Invalid request",
        "status": 422,
        "detail": "controls[0].image is broken",
        "field": "controls[0].image",
    }
    assert (kind, data) == ("error", problem)
    async with mesh.http.get(place) as response:
        record = await response.json()
        assert record["status"] == "failed" and record["error"]["detail"] == "controls[0].image is broken"


async def test_delete_stops_the_work_in_the_rooms(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    async with mesh.http.post(f"{API}/generations?wait=0", json={"prompt": "a boat"}) as response:
        place = response.headers["Location"]
    await mesh.rooms.seen.started.wait()
    async with mesh.http.delete(place) as response:
        assert (await response.json())["status"] == "cancelled"
    await asyncio.wait_for(mesh.rooms.seen.cancelled.wait(), 1)
    async with mesh.http.get(f"{place}/events") as response:
        assert [kind async for kind, _ in events(response)] == ["result"]


async def test_a_client_that_goes_away_takes_its_work_with_it(mesh: Running) -> None:
    mesh.rooms.pace.clear()
    host, port = mesh.url.removeprefix("http://").split(":")
    body = json.dumps({"prompt": "a boat", "samples": 2}).encode()
    with socket.create_connection((host, int(port))) as client:
        head = f"POST {API}/generations HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        await mesh.rooms.seen.started.wait()
    await asyncio.wait_for(mesh.rooms.seen.cancelled.wait(), 5)
    (job,) = (await mesh.gateway.jobs.page("anybody", Filter(), 1)).jobs
    assert (await mesh.gateway.jobs.wait(job.id, job.owner, 10)).status == Status.CANCELLED
    assert await mesh.gateway.jobs.load() == (0, 0)


async def test_the_first_failing_picture_stops_the_others(mesh: Running) -> None:
    mesh.rooms.failure = Unavailable("gone")
    async with mesh.http.post(f"{API}/generations", json={"prompt": "a boat", "samples": 4}) as response:
        assert response.status == 503
    assert await mesh.gateway.jobs.load() == (0, 0)


async def test_the_deadline_of_the_gateway_ends_the_work(start: Start) -> None:
    async with start(deadline_s=0.2) as mesh:
        mesh.rooms.pace.clear()
        async with mesh.http.post(f"{API}/generations", json={"prompt": "a boat"}) as response:
            assert response.status == 504
        await asyncio.wait_for(mesh.rooms.seen.cancelled.wait(), 1)


async def test_the_lists_are_those_of_the_rooms(mesh: Running) -> None:
    async with mesh.http.get(f"{API}/models") as response:
        models = await response.json()
        assert models["default"] == "demo" and models["models"][0]["native_size"] == 128
    async with mesh.http.get(f"{API}/controls") as response:
        controls = (await response.json())["controls"]
        assert {control["kind"]: control["extractable"] for control in controls} == {
            kind: kind not in ("depth", "openpose") for kind in KINDS
        }
        assert [control["kind"] for control in controls if control["reads_mask"]] == ["inpaint"]
        by_kind = {control["kind"]: control for control in controls}
        assert by_kind["canny"] == {
            "kind": "canny",
            "description": "canny.",
            "extractable": True,
            "reads_mask": False,
            "models": ["demo"],
            "parameters": [LOW],
            "controlnets": [{"family": "sd15", "ids": ["lllyasviel/control_v11p_sd15_canny"]}],
            "extractors": [{**PLAIN, "name": "canny", "description": "canny.", "parameters": [LOW]}],
        }
        missing, stand_in = by_kind["depth"]["extractors"]
        assert (missing["available"], missing["how_to_get"], stand_in["stand_in"]) == (False, UNLOADED["depth"], True)
        assert [one["reads_text"] for one in by_kind["qrcode"]["extractors"]] == [False, True]
        (softedge,) = by_kind["softedge"]["extractors"]
        assert (softedge["annotator"], softedge["annotator_description"]) == ("demo", "Knows shapes.")
        assert by_kind["normal"]["models"] == []
    async with mesh.http.get(f"{API}/schedulers") as response:
        schedulers = {scheduler["name"]: scheduler for scheduler in (await response.json())["schedulers"]}
    assert list(schedulers) == sorted(schedulers) and len(schedulers) == 6
    assert schedulers["DPMSolverMultistepScheduler"] == {
        "name": "DPMSolverMultistepScheduler",
        "description": "Has variants.",
        "stochastic": False,
        "karras_sigmas": True,
        "algorithm_types": ["dpmsolver++", "sde-dpmsolver++"],
        "model_calls": "n",
        "inverts": False,
        "flow_only": False,
        "on_flow": "DPMSolverMultistepScheduler",
    }
    assert schedulers["DDIMInverseScheduler"]["inverts"] and schedulers["DDIMInverseScheduler"]["algorithm_types"] == []
    async with mesh.http.get(f"{API}/styles") as response:
        assert (await response.json())["styles"] == [
            {"name": "comic", "prompt": "comic of {prompt}", "negative_prompt": "photo"}
        ]


async def test_each_key_sees_its_own_generations_only(start: Start) -> None:
    async with start(api_keys=("mine", "yours")) as mesh:
        mine, yours = {"Authorization": "Bearer mine"}, {"Authorization": "Bearer yours"}
        async with mesh.http.post(f"{API}/generations", json={"prompt": "x"}, headers=mine) as response:
            place = response.headers["Location"]
            url = (await response.json())["images"][0]["url"]
        for path in (place, f"{place}/events", f"{API}/generations/{'0' * 32}"):
            async with mesh.http.get(path, headers=yours) as response:
                assert response.status == 404
        async with mesh.http.delete(place, headers=yours) as response:
            assert response.status == 404
        async with mesh.http.get(place, headers=mine) as response:
            assert response.status == 200
        async with mesh.http.get(url) as response:
            assert response.status == 200, "the name of a result is the permission to read it"
        for method, path in (
            ("POST", f"{API}/generations"),
            ("GET", place),
            ("DELETE", place),
            ("GET", f"{place}/events"),
            ("GET", f"{API}/models"),
            ("GET", f"{API}/controls"),
            ("GET", f"{API}/schedulers"),
            ("GET", f"{API}/styles"),
        ):
            for headers in ({}, {"Authorization": "Bearer other"}, {"key": "mine"}, {"Authorization": "Basic mine"}):
                async with mesh.http.request(method, path, headers=headers, json={"prompt": "x"}) as response:
                    assert response.status == 401, path
                    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_too_many_are_told_when_to_come_back(start: Start) -> None:
    async with start(max_pictures=4, max_waiting=1) as mesh:
        mesh.rooms.pace.clear()
        body = {"prompt": "x", "samples": 4}
        for _ in range(2):
            async with mesh.http.post(f"{API}/generations?wait=0", json=body) as response:
                assert response.status == 202
        async with mesh.http.post(f"{API}/generations?wait=0", json=body) as response:
            assert response.status == 429 and response.headers["Retry-After"] == "5"


async def test_remarks_of_the_rooms_reach_the_caller(mesh: Running) -> None:
    async with mesh.http.post(f"{API}/generations", json={"prompt": "x" * 2000}) as response:
        assert (await response.json())["notes"] == ["the prompt was cut"]


async def test_the_formats_are_asked_of_the_decoder(mesh: Running) -> None:
    for format, name in (("png", "PNG"), ("webp", "WEBP")):
        async with mesh.http.post(f"{API}/generations", json={"prompt": "x", "format": format}) as response:
            url = (await response.json())["images"][0]["url"]
        async with mesh.http.get(url) as response:
            assert response.headers["Content-Type"] == f"image/{format}"
            assert check(await response.read())[0] == name
    assert types_pb2.IMAGE_FORMAT_WEBP == 3
