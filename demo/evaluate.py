"""Request pictures from a running mesh, with and without hints, and measure how well they follow them.

Only HTTP is used, as by any client, so every service of the mesh affects the result. Ready hints are sent: the model is
measured, not an extractor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from controlmesh_client import AsyncClient, ControlMeshError, NotFinished, Problem
from demo.adherence import Adherence, Request, adherence, references
from demo.hints import hint
from demo.judge import Pixels
from demo.recipe import CONTROLS
from demo.render import render
from demo.repaint import repaint
from demo.scene import Scene
from families.facts import MASKED_CONTROLS

#: Row of the table -> control kind, or None for pictures from the prompt alone. Every row gets the same prompts.
ROWS: dict[str, str | None] = {**{kind: kind for kind in CONTROLS}, "free": None}


class MeshError(RuntimeError):
    """The mesh did not answer with a picture."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the pictures of an evaluation are requested. size: pixels. wait: seconds the mesh may take for one."""

    steps: int = 20
    guidance: float = 3.0
    scheduler: str = "UniPCMultistepScheduler"
    size: int = 128
    wait: int = 120
    in_flight: int = 8


def control(kind: str, scene: Scene, size: int, **changes: Any) -> dict[str, Any]:
    """The control of a request: the scene's exact hint, or its inpainting task; `changes` such as weight."""
    if kind in MASKED_CONTROLS:
        task = repaint(scene, size)
        pictures = {"image": task.source, "mask": np.repeat(task.mask[..., None] * np.uint8(255), 3, axis=2)}
    else:
        pictures = {"image": hint(kind, render(scene, size))}
    sent = {name: png(picture) for name, picture in pictures.items()}
    return {"kind": kind, **sent, "auto_hint": False, "weight": 1.0, "start": 0.0, "end": 1.0, **changes}


def body(request: Request, kind: str | None, seed: int, settings: Settings) -> dict[str, Any]:
    """The body of a generation request: one picture, with the scene's exact hint of `kind` if one is given."""
    return {
        "prompt": request.prompt,
        "negative_prompt": None,
        "controls": [] if kind is None else [control(kind, request.scene, settings.size)],
        "width": settings.size,
        "height": settings.size,
        "steps": settings.steps,
        "guidance_scale": settings.guidance,
        "scheduler": settings.scheduler,
        "seed": seed,
        "samples": 1,
        "format": "png",
    }


async def offered(mesh: AsyncClient) -> dict[str, str | None]:
    """The rows of ROWS that the mesh's default model supports. Raises MeshError if the mesh does not answer."""
    try:
        listed = await mesh.models()
    except ControlMeshError as error:
        raise _failure(error) from error
    kinds = next(model["controls"] for model in listed["models"] if model["name"] == listed["default"])
    return {row: kind for row, kind in ROWS.items() if kind is None or kind in kinds}


async def draw(mesh: AsyncClient, content: dict[str, Any], settings: Settings) -> Pixels:
    """Generate one picture, uint8 RGB. Raises MeshError that says what came instead."""
    try:
        made = await mesh.generate(**content, timeout_s=settings.wait)
    except NotFinished as error:
        raise MeshError(
            f"{content['prompt']!r} was {error.status} after {settings.wait} s. "
            "Ask for fewer pictures at once (--in-flight)."
        ) from error
    except Problem as error:
        raise MeshError(f"The mesh answered {error.status} to {content['prompt']!r}: {error}") from error
    except ControlMeshError as error:
        raise _failure(error) from error
    return from_png(made[0].bytes)


def _failure(error: ControlMeshError) -> MeshError:
    return MeshError(f"{error}. Is the mesh up (`make up`)?")


async def draw_all(
    mesh: AsyncClient,
    bodies: Iterable[dict[str, Any]],
    settings: Settings,
    told: Callable[[], None] = lambda: None,
) -> list[Pixels]:
    """Generate one picture per body, in order; calls told() after each. The first failure ends it."""
    slots = asyncio.Semaphore(settings.in_flight)

    async def one(content: dict[str, Any]) -> Pixels:
        async with slots:
            picture = await draw(mesh, content, settings)
        told()
        return picture

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(content)) for content in bodies]
    except* MeshError as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def evaluate(
    mesh: AsyncClient,
    requests: Sequence[Request],
    settings: Settings,
    told: Callable[[str], None] = lambda row: None,
    rows: Mapping[str, str | None] = ROWS,
) -> tuple[dict[str, Adherence], dict[str, list[Pixels]]]:
    """(the table with its reference rows, the pictures by row); a request's seed is its number. Calls told(row) after
    every picture."""
    scenes = [request.scene for request in requests]
    pictures = {}
    for row, kind in rows.items():
        bodies = [body(request, kind, seed, settings) for seed, request in enumerate(requests)]
        pictures[row] = await draw_all(mesh, bodies, settings, lambda row=row: told(row))
    measured = {row: adherence(scenes, drawn) for row, drawn in pictures.items()}
    reference = references(scenes, settings.size)
    return {"render": reference["render"], **measured, "unrelated": reference["unrelated"]}, pictures


def png(image: Pixels) -> bytes:
    """Encode uint8 RGB [h, w, 3] as PNG."""
    _, encoded = cv2.imencode(".png", image[..., ::-1])
    return encoded.tobytes()


def from_png(content: bytes) -> Pixels:
    """Decode a PNG to uint8 RGB [h, w, 3]. Raises MeshError if it is not a picture."""
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise MeshError("The mesh's asset is not a picture.")
    return np.ascontiguousarray(decoded[..., ::-1])
