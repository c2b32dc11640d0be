"""Whole exports of what the parity tests do not run: every graph and every ensemble compared with diffusers."""

from pathlib import Path

from export.exporter import export
from export.options import Options
from export.source import open_source
from families import graphs
from families.manifest import Manifest


def exported(folder: Path, repository: Path) -> Manifest:
    return export(open_source(str(folder), {}), Options(repository, "x")).manifest


def test_a_flux_without_guidance_and_a_net_of_double_blocks_alone(tmp_path: Path) -> None:
    from tests.rigs.tiny_flux import make

    folder = make(tmp_path / "source", guidance=False, union=False, depth=(3, 0), kind="canny", seed=1)
    card = exported(folder, tmp_path / "repository")
    assert not card.distilled and card.controls == ("canny",)
    assert (card.defaults.steps, card.defaults.guidance_scale) == (4, None)
    assert "distilled" not in graphs.part(card, graphs.unet("x")).input_names
    assert "mode" not in graphs.part(card, graphs.controlnet("x", "canny")).input_names


def test_an_sdxl_whose_guidance_is_an_input(tmp_path: Path) -> None:
    from tests.rigs.tiny_sdxl import make

    folder = make(tmp_path / "source", seed=1, prediction_type="v_prediction", controls=(), time_cond_proj_dim=16)
    card = exported(folder, tmp_path / "repository")
    assert card.distilled and not card.controls
    assert (card.defaults.steps, card.defaults.guidance_scale) == (4, 8.0)
    assert graphs.part(card, graphs.unet("x")).input_names[:5] == ("sample", "timestep", "text", "vector", "distilled")
