"""Asks a running mesh for pictures, with and without hints, and measures how well they obey.

Only HTTP is used, the same requests as any client's, so every service of the mesh takes part in the result. Hints
are sent ready-made: what is measured is the model, not an extractor.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import httpx2
import numpy as np

from export.demo.adherence import Adherence, Request, adherence, references
from export.demo.hints import hint
from export.demo.judge import Pixels
from export.demo.render import render

GENERATIONS = "/controlmesh/v1/generations"
#: Row of the table -> control kind, or None for pictures from the prompt alone. Every row gets the same prompts.
ROWS: dict[str, str | None] = {"canny": "canny", "depth": "depth", "free": None}


class MeshError(RuntimeError):
    """The mesh did not answer, or not with a picture."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the pictures of an evaluation are asked for. size: pixels. wait: seconds the mesh may take for one."""

    steps: int = 20
    guidance: float = 3.0
    scheduler: str = "UniPCMultistepScheduler"
    size: int = 128
    wait: int = 120
    in_flight: int = 8


def body(request: Request, kind: str | None, seed: int, settings: Settings) -> dict[str, Any]:
    """The JSON of one generation: one picture, with the scene's exact hint of `kind` if one is given."""
    controls = []
    if kind is not None:
        exact = png(hint(kind, render(request.scene, settings.size)))
        controls.append(
            {
                "kind": kind,
                "image": base64.b64encode(exact).decode("ascii"),
                "auto_hint": False,
                "weight": 1.0,
                "start": 0.0,
                "end": 1.0,
            }
        )
    return {
        "prompt": request.prompt,
        "negative_prompt": None,
        "controls": controls,
        "width": settings.size,
        "height": settings.size,
        "steps": settings.steps,
        "guidance_scale": settings.guidance,
        "scheduler": settings.scheduler,
        "seed": seed,
        "samples": 1,
        "format": "png",
    }


async def draw(client: httpx2.AsyncClient, content: dict[str, Any], settings: Settings) -> Pixels:
    """One picture of the mesh behind `client`, uint8 RGB. Raises MeshError saying what came instead."""
    try:
        answer = await client.post(GENERATIONS, params={"wait": settings.wait}, json=content)
        if answer.status_code != 200:
            raise MeshError(f"The mesh answered {answer.status_code} to {content['prompt']!r}: {answer.text[:500]}")
        generation = answer.json()
        if generation["status"] != "succeeded":
            raise MeshError(
                f"{content['prompt']!r} was {generation['status']} after {settings.wait} s. "
                "Ask for fewer pictures at once (--in-flight)."
            )
        picture = await client.get(generation["images"][0]["url"])
        picture.raise_for_status()
    except httpx2.HTTPError as error:
        raise MeshError(
            f"No picture from {client.base_url}: {error or type(error).__name__}. Is the mesh up (`make up`)?"
        ) from error
    return from_png(picture.content)


async def draw_all(
    client: httpx2.AsyncClient,
    requests: Sequence[Request],
    kind: str | None,
    settings: Settings,
    told: Callable[[], None] = lambda: None,
) -> list[Pixels]:
    """One picture a request, seeded with its number, in order; told() after each. The first failure ends it."""
    slots = asyncio.Semaphore(settings.in_flight)

    async def one(seed: int, request: Request) -> Pixels:
        async with slots:
            picture = await draw(client, body(request, kind, seed, settings), settings)
        told()
        return picture

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(seed, request)) for seed, request in enumerate(requests)]
    except* MeshError as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def evaluate(
    client: httpx2.AsyncClient,
    requests: Sequence[Request],
    settings: Settings,
    told: Callable[[str], None] = lambda row: None,
) -> tuple[dict[str, Adherence], dict[str, list[Pixels]]]:
    """(the table with its reference rows, the pictures by row); told(row) after every picture."""
    scenes = [request.scene for request in requests]
    pictures = {}
    for row, kind in ROWS.items():
        pictures[row] = await draw_all(client, requests, kind, settings, lambda row=row: told(row))
    measured = {row: adherence(scenes, drawn) for row, drawn in pictures.items()}
    reference = references(scenes, settings.size)
    return {"render": reference["render"], **measured, "unrelated": reference["unrelated"]}, pictures


def png(image: Pixels) -> bytes:
    """uint8 RGB [h, w, 3] as PNG."""
    _, encoded = cv2.imencode(".png", image[..., ::-1])
    return encoded.tobytes()


def from_png(content: bytes) -> Pixels:
    """PNG as uint8 RGB [h, w, 3]. Raises MeshError when it is none."""
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise MeshError("The mesh's asset is no picture.")
    return np.ascontiguousarray(decoded[..., ::-1])
