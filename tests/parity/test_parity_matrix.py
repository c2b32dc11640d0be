"""Feature by scheduler, on the demo model (v-prediction) and a random epsilon model: the mesh's picture is diffusers'.

`--every-case` runs the whole matrix instead of a cover of it, `--parity-table FILE` writes what was measured.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.parity.matrix import COMPARED, FEATURES, MODELS, Case, cover, fits, full
from tests.parity.reference import MEAN, MOST, Reference, difference
from tests.parity.table import write_section
from tests.rigs.mesh import DEMO_WEIGHTS, picture

Measured = dict[Case, tuple[int, float]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = full() if metafunc.config.getoption("--every-case") else cover()
        metafunc.parametrize("case", list(cases), ids=str)


@pytest.fixture(scope="module")
def references(tiny_weights: Path) -> dict[str, Reference]:
    return {"demo": Reference(DEMO_WEIGHTS), "tiny": Reference(tiny_weights)}


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest) -> Iterator[Measured]:
    found: Measured = {}
    yield found
    target = request.config.getoption("--parity-table")
    if target:
        write_section(Path(target), "Stable Diffusion 1.5", _lines(found))


def test_the_picture_is_diffusers_picture(
    client: httpx2.Client, references: dict[str, Reference], measured: Measured, case: Case
) -> None:
    asked = case.asked
    ours = picture(client, asked.request(case.model))
    most, mean = measured[case] = difference(ours, references[case.model].picture(asked))
    assert most <= MOST
    assert mean < MEAN


def test_the_cover_meets_every_scheduler_and_feature_on_both_models() -> None:
    chosen, every = set(cover()), set(full())
    assert chosen <= every
    for part in ("feature", "scheduler"):
        pairs = {(getattr(case, part), case.model) for case in every}
        missed = pairs - {(getattr(case, part), case.model) for case in chosen}
        # A feature that a single scheduler takes is met on one model.
        assert all(part == "feature" and _alone(value) for value, _ in missed), missed


def _alone(feature: str) -> bool:
    return sum(fits(feature, scheduler) for scheduler in COMPARED) < 3


def _lines(found: Measured) -> list[str]:
    lines = [
        "The worse of two models: the demo model (v-prediction, trailing timesteps) and a random one of the family's",
        "shape (epsilon, leading timesteps). A dash: the scheduler does not take the option.",
        "",
    ]
    features = [feature for feature in FEATURES if any(case.feature == feature for case in found)]
    lines.append(f"| Scheduler | {' | '.join(features)} |")
    lines.append(f"|---|{'---|' * len(features)}")
    for scheduler in COMPARED:
        cells = []
        for feature in features:
            rows = [found[case] for model in MODELS if (case := Case(feature, scheduler, model)) in found]
            cells.append(f"{max(m for m, _ in rows)} ({max(m for _, m in rows):.3f})" if rows else "-")
        lines.append(f"| {scheduler.removesuffix('Scheduler')} | {' | '.join(cells)} |")
    return lines
