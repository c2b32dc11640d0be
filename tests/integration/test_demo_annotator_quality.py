"""The shipped annotator, exported as users export it, sees what its page says; a command measures it."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from typer.testing import CliRunner

from demo.__main__ import app
from demo.annotator_judge import Quality
from demo.annotator_report import FLOORS, ROWS, exported, held_out, measure, missed
from export.annotators.exporter import export
from export.annotators.source import open_source
from export.options import Options
from export.source import DEMO_WEIGHTS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    export(open_source("demo", None), Options(folder, "demo"))
    return folder


@pytest.fixture(scope="module")
def table(repository: Path) -> dict[str, Quality]:
    torch.set_num_threads(1)
    vae = AutoencoderKL.from_pretrained(DEMO_WEIGHTS / "vae", torch_dtype=torch.float32)
    return measure(exported(repository, "demo"), held_out(48, first_seed=5000), vae)


def test_the_shipped_annotator_reaches_every_floor(table: dict[str, Quality]) -> None:
    assert {floor.row for floor in FLOORS} <= set(table) == set(ROWS)
    assert not missed(table), table


def test_pictures_that_were_fitted_or_compressed_are_seen_nearly_as_well(table: dict[str, Quality]) -> None:
    clean = table["render"]
    for row in ("jpeg", "large", "small"):
        assert table[row].miou > clean.miou - 0.05, row
        assert table[row].edges > clean.edges - 0.05, row
        assert table[row].depth_rmse < clean.depth_rmse + 0.01, row


def test_the_tilt_that_does_not_show_is_not_guessed(table: dict[str, Quality]) -> None:
    assert table["render"].depth_rmse_tilted > table["render"].depth_rmse + 0.01


def test_the_command_writes_a_page_and_its_pictures(repository: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "annotator.md"
    arguments = ["annotator-report", "--repository", str(repository), "--count", "24", "--write", str(page)]
    outcome = CliRunner().invoke(app, [*arguments, "--base", str(DEMO_WEIGHTS)])
    assert outcome.exit_code == 0, outcome.output
    text = page.read_text(encoding="utf-8")
    assert "24 scenes" in text and "![Pictures and maps](annotator.png)" in text
    assert all(row in text and row in outcome.output for row in ROWS.values())
    assert page.with_suffix(".png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_an_annotator_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(app, ["annotator-report", "--repository", str(tmp_path), "--base", str(DEMO_WEIGHTS)])
    assert outcome.exit_code == 2
    assert "is not exported" in outcome.output
