"""A short run of benchmarks/chaos.py: jobs submitted twice, processes of a real mesh killed in between."""

from pathlib import Path

import pytest

from benchmarks.chaos import Plan, chaos
from benchmarks.frail_mesh import PARTS


@pytest.mark.slow
@pytest.mark.parametrize(("database", "seed"), [("sqlite", 22), ("postgresql", 4)])
def test_nothing_is_lost_and_nothing_double(demo_repository: Path, database: str, seed: int) -> None:
    run = chaos(database, Plan(jobs=10, kills=2, seed=seed), demo_repository)
    assert run.broken == []
    assert {kill.part for kill in run.kills} <= set(PARTS) and len(run.kills) == 2
