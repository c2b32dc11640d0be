"""One controlled generation through a running mesh, with the picture it came from beside the picture it made."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from controlmesh.v1 import preprocess_pb2, preprocess_pb2_grpc, types_pb2
from demo.render import render
from demo.scene import Scene, Solid
from mesh.channels import call, open_channel
from mesh.pictures import decode, encode

PROMPT = "a red star on a white to blue gradient background"
NEGATIVE_PROMPT = ""
# Every colour differs from the prompt's, so what the edges give and what the words give can be told apart.
SKETCH = Scene(
    solids=(Solid("star", "yellow", 66.0, 64.0, 41.0, 0.15),),
    ground="purple",
    style="plain",
    ground_end=None,
    light=(-0.4, -0.6),
    period=16.0,
    phase=0.0,
    rising=True,
    tilt=0.0,
)
REQUEST: dict[str, Any] = {
    "prompt": PROMPT,
    "negative_prompt": NEGATIVE_PROMPT,
    "width": 128,
    "height": 128,
    "steps": 20,
    "guidance_scale": 3.0,
    "scheduler": "UniPCMultistepScheduler",
    "seed": 7,
}
CANNY = {"low_threshold": 60.0, "high_threshold": 140.0}


class DemonstrationError(Exception):
    """The mesh refused or failed; the message is its own."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What was written: the picture that the edges are from, the generated one, and source, hint, picture in a row."""

    source: Path
    picture: Path
    strip: Path


def source_picture() -> bytes:
    """The PNG that the edges are taken from: a rendered scene of the demo model's own world."""
    return encode(render(SKETCH, 128).image)


async def extract_canny(mesh_address: str, picture: bytes) -> bytes:
    """The canny hint of `picture` as PNG, from preprocess_svc through Envoy."""
    async with open_channel(mesh_address) as channel:
        control = types_pb2.Control(
            kind="canny", image=types_pb2.Image(content=picture), auto_hint=True, parameters=CANNY
        )
        request = preprocess_pb2.ExtractHintRequest(control=control, width=128, height=128)
        stub: Any = preprocess_pb2_grpc.PreprocessServiceStub(channel)
        answer: preprocess_pb2.ExtractHintResponse = await call(stub.ExtractHint(request, timeout=30))
    return answer.hint.content


def generate(url: str, key: str, picture: bytes, report: Callable[[int, int], None]) -> bytes:
    """The generated picture, asked for over HTTP and followed step by step.

    Args:
        url: start of the mesh's URLs.
        key: API key; empty where none is needed.
        picture: PNG to take the edges from.
        report: called with (steps done, steps in all).

    Raises:
        DemonstrationError: the mesh refused or failed.
    """
    control = {"kind": "canny", "image": base64.b64encode(picture).decode(), "auto_hint": True, "parameters": CANNY}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(base_url=url, headers=headers, timeout=120) as client:
        answer = client.post("/controlmesh/v1/generations?wait=0", json={**REQUEST, "controls": [control]})
        if answer.status_code not in (200, 202):
            raise DemonstrationError(answer.text)
        record = _follow(client, answer.json()["id"], report)
        if record["status"] != "succeeded":
            raise DemonstrationError(json.dumps(record["error"]))
        return client.get(record["images"][0]["url"]).raise_for_status().content


def _follow(client: httpx2.Client, generation_id: str, report: Callable[[int, int], None]) -> dict[str, Any]:
    address = f"/controlmesh/v1/generations/{generation_id}"
    with client.stream("GET", f"{address}/events") as events:
        for line in events.iter_lines():
            if line.startswith("data:"):
                progress = json.loads(line[5:])
                progress = progress.get("progress", progress)
                if isinstance(progress, dict) and progress.get("steps"):
                    report(int(progress["step"]), int(progress["steps"]))
    record: dict[str, Any] = client.get(address).raise_for_status().json()
    return record


def write(folder: Path, source: bytes, hint: bytes, picture: bytes) -> Demonstration:
    """Write source and picture, and source | hint | picture side by side at twice their size."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = [np.kron(decode(content), np.ones((2, 2, 1), np.uint8)) for content in (source, hint, picture)]
    gap = np.full((shown[0].shape[0], 8, 3), 255, np.uint8)
    strip = np.concatenate([shown[0], gap, shown[1], gap, shown[2]], axis=1)
    result = Demonstration(folder / "source.png", folder / "picture.png", folder / "strip.png")
    result.source.write_bytes(source)
    result.picture.write_bytes(picture)
    result.strip.write_bytes(encode(strip))
    return result
