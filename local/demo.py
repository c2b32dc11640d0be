"""Run one controlled generation through a running mesh, and show source, hint and result side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from controlmesh.v1 import preprocess_pb2, preprocess_pb2_grpc, types_pb2
from controlmesh_client import Client, Control
from demo.render import render
from demo.scene import Scene, Solid
from mesh.channels import call, open_channel
from mesh.pictures import decode, encode

PROMPT = "a red star on a white to blue gradient background"
NEGATIVE_PROMPT = ""
# Every colour differs from the prompt's, so that the effects of the edges and of the prompt can be told apart.
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


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The files written: the source of the edges, the generated picture, and source, hint, picture in a row."""

    source: Path
    picture: Path
    strip: Path


def source_picture() -> bytes:
    """Render the PNG from which the edges are extracted: a scene of the kind that the demo model was trained on."""
    return encode(render(SKETCH, 128).image)


async def extract_canny(mesh_address: str, picture: bytes) -> bytes:
    """Extract the canny hint of `picture` as PNG, with preprocess_svc through Envoy."""
    async with open_channel(mesh_address) as channel:
        control = types_pb2.Control(
            kind="canny", image=types_pb2.Image(content=picture), auto_hint=True, parameters=CANNY
        )
        request = preprocess_pb2.ExtractHintRequest(control=control, width=128, height=128)
        stub: Any = preprocess_pb2_grpc.PreprocessServiceStub(channel)
        answer: preprocess_pb2.ExtractHintResponse = await call(stub.ExtractHint(request, timeout=30))
    return answer.hint.content


def generate(url: str, key: str, picture: bytes, report: Callable[[int, int], None]) -> bytes:
    """Generate a picture over HTTP, with progress for each step.

    Args:
        url: base URL of the mesh.
        key: API key; empty if none is needed.
        picture: PNG from which the edges are extracted.
        report: called with (steps done, steps in total).

    Raises:
        ControlMeshError: the mesh refused or failed.
    """
    with Client(url, key or None) as mesh:
        job = mesh.submit(**REQUEST, controls=[Control("canny", picture, parameters=CANNY)])
        for progress in job:
            if progress.of:
                report(progress.done, progress.of)
        made = job.result()
    report(made.record["progress"]["step"], made.record["progress"]["steps"])
    return made[0].bytes


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
