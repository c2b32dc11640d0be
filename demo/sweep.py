"""Measure the effect of a control's weight, end and guess mode: the same prompts and seeds with every setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from controlmesh_client import AsyncClient
from demo.adherence import Adherence, Request, adherence
from demo.evaluate import Settings, body, draw_all

KIND = "canny"


@dataclass(frozen=True, slots=True)
class Point:
    """One setting. weight, end: of the control, as in a request. prompted: False sends an empty prompt."""

    weight: float = 1.0
    end: float = 1.0
    guess_mode: bool = False
    prompted: bool = True


WEIGHTS = tuple(Point(weight=weight) for weight in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0))
ENDS = tuple(Point(end=end) for end in (0.0, 0.2, 0.4, 0.6, 1.0))
GUESSES = tuple(Point(guess_mode=guess, prompted=prompted) for prompted in (True, False) for guess in (False, True))
POINTS = tuple(dict.fromkeys((*WEIGHTS, *ENDS, *GUESSES)))


def steered(request: Request, point: Point, seed: int, settings: Settings) -> dict[str, Any]:
    """The body of a generation request with KIND's exact hint at `point`."""
    content = body(request, KIND, seed, settings)
    content["controls"][0] |= {"weight": point.weight, "end": point.end}
    return content | {"guess_mode": point.guess_mode} | ({} if point.prompted else {"prompt": ""})


async def sweep(
    mesh: AsyncClient,
    requests: Sequence[Request],
    settings: Settings,
    points: Sequence[Point] = POINTS,
    told: Callable[[], None] = lambda: None,
) -> dict[Point, Adherence]:
    """Measure every point; a request's seed is its number at each point. Calls told() after every picture."""
    scenes = [request.scene for request in requests]
    measured = {}
    for point in points:
        bodies = [steered(request, point, seed, settings) for seed, request in enumerate(requests)]
        measured[point] = adherence(scenes, await draw_all(mesh, bodies, settings, told))
    return measured
