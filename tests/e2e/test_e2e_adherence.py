"""Hints steer the pictures of the whole mesh, as much as weight, end and guess mode say."""

from itertools import pairwise

import pytest

from controlmesh_client import AsyncClient
from demo.adherence import FLOORS, Adherence, asked, requests
from demo.evaluate import Settings, evaluate, offered
from demo.sweep import Point, sweep
from local.supervision import LocalMesh
from tests.rigs.mesh import DEMO_CONTROLS

# Few steps and few prompts: what is asserted is directions, with a margin for the few.
SETTINGS = Settings(steps=10)
MARGIN = 0.03
WEIGHTS = [Point(weight=weight) for weight in (0.0, 0.5, 1.0)]
ENDS = [Point(end=end) for end in (0.0, 0.2, 0.6, 1.0)]
UNPROMPTED, GUESSED = Point(prompted=False), Point(prompted=False, guess_mode=True)


@pytest.fixture(scope="module")
async def measured(mesh: LocalMesh) -> dict[Point, Adherence]:
    points = list(dict.fromkeys((*WEIGHTS, *ENDS, UNPROMPTED, GUESSED)))
    async with AsyncClient(mesh.url) as client:
        return await sweep(client, requests(10), SETTINGS, points)


@pytest.mark.parametrize("points", [WEIGHTS, ENDS], ids=["weight", "end"])
def test_more_control_brings_the_edges_nearer_to_the_hint(
    points: list[Point], measured: dict[Point, Adherence]
) -> None:
    agreement = [measured[point].edge_f1 for point in points]
    assert all(more > less - MARGIN for less, more in pairwise(agreement)), agreement
    assert agreement[-1] > agreement[0] + 0.3


def test_no_weight_and_no_end_are_no_control(measured: dict[Point, Adherence]) -> None:
    assert measured[Point(end=0.0)] == measured[Point(weight=0.0)]


def test_guess_mode_follows_the_hint_without_a_prompt(measured: dict[Point, Adherence]) -> None:
    assert measured[GUESSED].edge_f1 > measured[Point(weight=0.0)].edge_f1 + 0.2
    assert measured[GUESSED] != measured[UNPROMPTED]


async def test_every_control_of_the_model_leads_over_the_prompt_alone(mesh: LocalMesh) -> None:
    """Half of the lead that a full evaluation must find."""
    async with AsyncClient(mesh.url) as client:
        rows = await offered(client)
        table, _ = await evaluate(client, requests(12, first_seed=100), SETTINGS, rows=rows)
    leads = [floor for floor in asked(table, FLOORS) if floor.above == "free"]
    assert {floor.row for floor in leads} == set(DEMO_CONTROLS)
    assert all(floor.value(table) > floor.least / 2 for floor in leads), table
