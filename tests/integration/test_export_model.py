"""A whole export of a random SD1.5-shaped model (four levels, 12 + 1 residuals), and what must come of a second one.

The exporter itself compares every graph with torch; here stands what it must notice.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from export import tokens
from export.errors import Mismatch, SourceRefused
from export.exporter import Outcome, export
from export.made_for import Wished
from export.options import Options
from export.parts import Source
from export.source import open_source
from families import graphs
from families.defaults import Defaults
from families.manifest import manifest_path, read_manifest, tokenizer_paths
from tests.rigs.tiny_sd15 import make

ROOT = Path(__file__).parents[2]
NAME = "t"


@pytest.fixture
def repository(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(exported, tmp_path / "repository")


def contents(repository: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(repository)): path.read_bytes() for path in repository.rglob("*") if path.is_file()}


def test_the_card_names_every_graph_and_how_near_it_came(exported: Path) -> None:
    card = read_manifest(exported, NAME)
    assert set(card.graphs) == set(graphs.graph_names(card))
    assert len(card.residuals) == 13
    assert card.scheduler["prediction_type"] == "epsilon"
    assert [net.name for net in card.nets if net.pooled] == ["shuffle"]
    assert np.shape(card.preview) == (card.latent_channels + 1, 3)
    floats = {name: made.max_abs_error for name, made in card.graphs.items() if not name.endswith("decoder")}
    assert max(floats.values()) < 1e-4
    assert all((exported / name / "config.pbtxt").is_file() for name in graphs.repository_names(card))
    assert all((exported / name / "1").is_dir() for name in graphs.ensemble_names(card))


def test_nothing_of_the_machine_is_in_what_is_written(exported: Path, sd15_folder: Path) -> None:
    for name, content in contents(exported).items():
        assert str(ROOT).encode() not in content, name
        assert str(sd15_folder.parent).encode() not in content, name


def test_a_second_export_is_skipped(repository: Path, sd15_source: Source) -> None:
    before = contents(repository)
    assert export(sd15_source, Options(repository, NAME)).skipped
    assert contents(repository) == before


def test_a_skipped_export_waits_for_no_torch(repository: Path, sd15_folder: Path) -> None:
    code = (
        "import sys; from export import __main__ as m\n"
        f"try: m.app([{str(sd15_folder)!r}, '--name', {NAME!r}, '--repository', {str(repository)!r}])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "up to date" in done.stderr


def test_another_target_rewrites_configurations_and_traces_nothing(repository: Path, sd15_source: Source) -> None:
    outcome = export(sd15_source, Options(repository, NAME, target="gpu"))
    assert outcome.skipped
    assert outcome.manifest.target == read_manifest(repository, NAME).target == "gpu"
    assert "KIND_GPU" in (repository / f"{NAME}_unet" / "config.pbtxt").read_text()


def cut_graph(repository: Path, _: Path) -> None:
    path = repository / f"{NAME}_unet" / "1" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")


def remove_graph(repository: Path, _: Path) -> None:
    (repository / f"{NAME}_vae_decoder" / "1" / "model.onnx").unlink()


def remove_tokenizer(repository: Path, _: Path) -> None:
    (path,) = tokenizer_paths(repository, read_manifest(repository, NAME))
    path.unlink()


def spoil_card(repository: Path, _: Path) -> None:
    manifest_path(repository, NAME).write_text("{}")


def change_source(_: Path, folder: Path) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": "v_prediction"}))


@pytest.mark.parametrize("spoil", [cut_graph, remove_graph, remove_tokenizer, spoil_card, change_source])
def test_whatever_changed_is_exported_again(
    repository: Path, sd15_folder: Path, tmp_path: Path, spoil: Callable[[Path, Path], None]
) -> None:
    own = shutil.copytree(sd15_folder, tmp_path / "source")
    spoil(repository, own)
    # A tolerance of nothing stops the export at its first graph: enough to see that it began.
    with pytest.raises(Mismatch):
        export(open_source(str(own), {}), Options(repository, NAME, tolerance=0.0))


def test_a_mismatch_leaves_the_old_model_whole(repository: Path, sd15_source: Source) -> None:
    before = contents(repository)
    with pytest.raises(Mismatch, match="differs from torch"):
        export(sd15_source, Options(repository, NAME, force=True, tolerance=0.0))
    assert contents(repository) == before


def test_an_interruption_leaves_the_old_model_whole(repository: Path, sd15_source: Source) -> None:
    def interrupt(doing: str, done: int, total: int) -> None:
        if "unet" in doing:
            raise KeyboardInterrupt

    before = contents(repository)
    with pytest.raises(KeyboardInterrupt):
        export(sd15_source, Options(repository, NAME, force=True), interrupt)
    assert contents(repository) == before


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("vae", {"layers_per_block": 2}),
        ("vae", {"block_out_channels": [16, 16, 32, 64]}),
        ("text_encoder", {"num_hidden_layers": 4}),
        ("text_encoder", {"num_hidden_layers": 2}),
    ],
)
def test_weights_that_do_not_fit_their_configuration_are_refused(
    sd15_folder: Path, tmp_path: Path, part: str, settings: dict[str, Any]
) -> None:
    """Tensors that are missing (the libraries would make them up), of another shape, or superfluous."""
    own = shutil.copytree(sd15_folder, tmp_path / "source")
    path = own / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    with pytest.raises(SourceRefused, match=f"{part}: the weights"):
        export(open_source(str(own), {}), Options(tmp_path / "repository", NAME))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(sd15_folder: Path, tmp_path: Path, value: float) -> None:
    """A VAE of NaN would make a black picture of everything, and bytes show nothing of it."""
    own = shutil.copytree(sd15_folder, tmp_path / "source")
    path = own / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    name = sorted(name for name in tensors if name.startswith("decoder."))[0]
    tensors[name] = np.full_like(tensors[name], value)
    save_file(tensors, path)
    with pytest.raises(SourceRefused, match=f"vae: weight {name} has numbers that are not finite"):
        export(open_source(str(own), {}), Options(tmp_path / "repository", NAME))


def test_what_a_model_is_made_for_is_in_its_card_and_traces_nothing(repository: Path, sd15_folder: Path) -> None:
    before = export(open_source(str(sd15_folder), {}), Options(repository, NAME)).manifest
    assert (before.defaults, before.trained_sizes) == (Defaults(), ())
    wished = Wished("96x128", 12, 3.0, "UniPCMultistepScheduler", ("128", "96x128"))
    changed = export(open_source(str(sd15_folder), {}), Options(repository, NAME, wished=wished))
    assert changed.skipped
    assert read_manifest(repository, NAME) == changed.manifest
    assert changed.manifest.defaults == Defaults(
        size=(96, 128), steps=12, guidance_scale=3.0, scheduler="UniPCMultistepScheduler"
    )
    assert changed.manifest.trained_sizes == ((128, 128), (96, 128))
    assert export(open_source(str(sd15_folder), {}), Options(repository, NAME)).manifest == before


def test_a_part_with_another_parts_weights_is_refused(sd15_folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(sd15_folder, tmp_path / "source")
    shutil.copy(own / "controlnet-canny" / "diffusion_pytorch_model.safetensors", own / "unet")
    with pytest.raises(SourceRefused, match="unet: the weights are not those"):
        export(open_source(str(own), {}), Options(tmp_path / "repository", NAME))


@pytest.mark.slow
def test_a_control_that_is_gone_takes_its_graphs_along_and_large_weights_stand_beside_the_graph(
    repository: Path, sd15_folder: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(sd15_folder, tmp_path / "source", ignore=shutil.ignore_patterns("controlnet-shuffle"))
    options = Options(repository, NAME, external_over=1 << 16)
    outcome: Outcome = export(open_source(str(own), {}), options)
    wanted = {NAME, *graphs.repository_names(outcome.manifest)}
    assert {path.name for path in repository.iterdir()} == wanted
    assert sorted(path.name for path in (repository / f"{NAME}_unet" / "1").iterdir()) == [
        "model.onnx",
        "model.onnx.data",
    ]
    assert (repository / f"{NAME}_unet" / "1" / "model.onnx").stat().st_size < 1 << 21
    assert export(open_source(str(own), {}), replace(options)).skipped


@pytest.mark.slow
def test_half_precision_weights_are_read_as_float32(tmp_path: Path) -> None:
    folder = make(tmp_path / "half", kinds=(), variant="fp16")
    card = export(open_source(str(folder), {}), Options(tmp_path / "repository", "half")).manifest
    assert graphs.ensemble_names(card) == ("half_denoise",)


def test_a_tokenizer_that_disagrees_is_refused(sd15_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "tokenizer.json"
    tokens.write(sd15_folder / "tokenizer", target, tokens.special_ids(sd15_folder / "tokenizer"))
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(sd15_folder / "tokenizer")
    tokens.compare(Tokenizer.from_file(str(target)), theirs)
    changed = json.loads(target.read_text())
    changed["normalizer"] = None
    with pytest.raises(Mismatch, match="differs from transformers"):
        tokens.compare(Tokenizer.from_str(json.dumps(changed)), theirs)
    with pytest.raises(Mismatch, match="special tokens"):
        tokens.write(sd15_folder / "tokenizer", target, {"pad": 0, "bos": 1, "eos": 2})
