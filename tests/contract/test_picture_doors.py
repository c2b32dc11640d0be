"""Pictures at every door: no pixel is decoded here, bad containers are refused before a job is taken,
what is behind a picture's end is not kept, notes of services reach the caller.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from controlmesh.v1 import types_pb2
from gateway.rpc.request import generation_of
from mesh.errors import InvalidInput
from tests.contract.conftest import Running
from tests.rigs import hostile_pictures as made
from tests.rigs.mesh import ROOT

NATIVE, ENTERPRISE = "/controlmesh/v1", "/api/v1/enterprise"
GOOD = made.saved(made.NOISE, "PNG")
BAD = {
    "scans": made.jpeg_of_scans(600),
    "bomb": made.png_with(made.itxt(bytes(20_000_000), packed=True)),
    "two headers": made.png_with(GOOD[8:33]),
    "another canvas": made.riff(made.canvas(9, 9), *made.webp_chunks(made.webp_with())[1:]),
}


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


Ask = Callable[[Running, bytes], Awaitable[tuple[int, Any]]]


def posts(path: str, body: Callable[[str], dict[str, Any]], **headers: str) -> Ask:
    async def ask(mesh: Running, content: bytes) -> tuple[int, Any]:
        async with mesh.http.post(path, json=body(text(content)), headers=headers) as response:
            return response.status, await response.read()

    return ask


def sends(path: str, media_type: str = "image/png") -> Ask:
    async def ask(mesh: Running, content: bytes) -> tuple[int, Any]:
        async with mesh.http.post(path, data=content, headers={"Content-Type": media_type}) as response:
            return response.status, await response.read()

    return ask


_PROMPT = {"prompt": "x", "width": 64, "height": 64}
_MODEL = {"key": "k", "model_id": "demo", "prompt": "x", "controlnet_model": "canny"}
DOORS: dict[str, Ask] = {
    "native image": posts(f"{NATIVE}/generations?wait=0", lambda sent: {**_PROMPT, "image": sent}),
    "native image, waited for": posts(f"{NATIVE}/generations?wait=9", lambda sent: {**_PROMPT, "image": sent}),
    "native mask": posts(f"{NATIVE}/generations", lambda sent: {**_PROMPT, "image": text(GOOD), "mask": sent}),
    "native control": posts(
        f"{NATIVE}/generations", lambda sent: {**_PROMPT, "controls": [{"kind": "canny", "image": sent}]}
    ),
    "native hint": posts(f"{NATIVE}/hints", lambda sent: {"kind": "canny", "image": sent}),
    "native asset": posts(f"{NATIVE}/assets", lambda sent: {"image": sent}),
    "native asset as a file": sends(f"{NATIVE}/assets"),
    "enterprise": posts(f"{ENTERPRISE}/controlnet", lambda sent: {**_MODEL, "init_image": sent}),
    "enterprise mask": posts(
        f"{ENTERPRISE}/controlnet", lambda sent: {**_MODEL, "init_image": text(GOOD), "mask_image": sent}
    ),
    "enterprise crop": posts("/api/v3/base64_crop", lambda sent: {"key": "k", "image": sent, "crop": "true"}),
    "enterprise upload": posts(
        f"{ENTERPRISE}/upload_image", lambda sent: {"key": "k", "base64_image": sent, "image_type": "png"}
    ),
    "Hugging Face": posts("/", lambda sent: {"inputs": "x", "image": sent}, Accept="image/png"),
    "Hugging Face, the file": sends("/?prompt=x"),
    "Scenario": posts(
        "/v1/generate/controlnet",
        lambda sent: {"modelId": "demo", "prompt": "x", "modality": "canny", "controlImage": sent},
    ),
    "Scenario asset": posts("/v1/assets", lambda sent: {"name": "a.png", "image": sent}),
}


@pytest.mark.parametrize("door", DOORS)
async def test_a_bad_container_is_refused_before_a_job_is_taken(mesh: Running, door: str) -> None:
    for name, content in BAD.items():
        status, said = await DOORS[door](mesh, content)
        # The enterprise API answers errors with 200.
        assert 400 <= status < 500 or (status == 200 and b'"error"' in said), (name, status, said)
        assert b"cannot identify image file" in said, (name, said)
    assert await mesh.gateway.jobs.load() == (0, 0)
    seen = mesh.rooms.seen
    assert not (seen.prepared or seen.extracted or seen.converted)


def test_a_bad_container_is_refused_over_grpc_too() -> None:
    from controlmesh.v1 import generation_pb2

    for content in BAD.values():
        image = types_pb2.Image(content=content)
        for fields in ({"image": image}, {"controls": [types_pb2.Control(kind="canny", image=image)]}):
            with pytest.raises(InvalidInput, match="cannot identify image file"):
                generation_of(generation_pb2.GenerateRequest(prompt="x", **fields))


async def test_what_is_behind_a_picture_is_not_kept(mesh: Running) -> None:
    long = GOOD + bytes(1_000_000)
    for body in ({"image": text(long)}, {"image": f"data:image/png;base64,{text(long)}"}):
        async with mesh.http.post(f"{NATIVE}/assets", json=body) as response:
            record = await response.json()
        assert record["size"] == len(GOOD)
        async with mesh.http.get(record["url"]) as response:
            assert await response.read() == GOOD
    for path, body, link in (
        (f"{ENTERPRISE}/upload_image", {"base64_image": text(long), "image_type": "png"}, "image_url"),
        ("/api/v3/base64_crop", {"image": text(long)}, "link"),
    ):
        async with mesh.http.post(path, json={"key": "k", **body}) as response:
            url = (await response.json())[link]
        async with mesh.http.get(url) as response:
            assert await response.read() == GOOD
    await DOORS["native image"](mesh, long)
    await DOORS["native hint"](mesh, long)
    assert mesh.rooms.seen.extracted[-1].control.image.content == GOOD


async def test_crops_and_conversions_are_made_by_a_service(mesh: Running) -> None:
    await DOORS["enterprise crop"](mesh, GOOD)
    body = {"inputs": "x", "image": text(GOOD), "controlnet_type": "canny_edge"}
    async with mesh.http.post("/", json=body, headers={"Accept": "image/tiff"}) as response:
        assert (response.status, (await response.read())[:4]) == (200, b"II*\0")
    crop, conversion = mesh.rooms.seen.converted
    assert (crop.square, crop.image.content) == (True, GOOD)
    assert (conversion.square, conversion.format) == (False, types_pb2.IMAGE_FORMAT_TIFF)


def test_no_codec_is_in_the_gateway_s_process() -> None:
    script = (
        "import sys, gateway.server, gateway.dialects.table; "
        "print([name for name in ('PIL', 'cv2', 'numpy', 'mesh.pictures') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_notes_reach_callers_of_the_endpoint_in_a_header(mesh: Running) -> None:
    body = {"inputs": "x" * 1001, "image": text(GOOD), "controlnet_type": "canny_edge"}
    for accept in ("image/png", "image/bmp", "application/json"):
        async with mesh.http.post("/", json=body, headers={"Accept": accept}) as response:
            assert json.loads(response.headers["X-ControlMesh-Notes"]) == ["the prompt was cut"]
    async with mesh.http.post("/", json={**body, "inputs": "x"}, headers={"Accept": "image/png"}) as response:
        assert "X-ControlMesh-Notes" not in response.headers
