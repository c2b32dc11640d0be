"""A whole export of a model in one file: the same graphs as of its diffusers folder, offline; what changes nothing."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file

from export.errors import SourceRefused
from export.exporter import export
from export.facts import facts_of
from export.families.table import FAMILIES
from export.fingerprint import inputs_of
from export.options import Options
from export.source import open_controlnet, open_source
from families.manifest import read_manifest
from tests.rigs import forks, tiny_flux, trained_names
from tests.rigs.mesh import ROOT
from tests.rigs.tiny_whole import Whole, shared

NAME = "t"
NO_TORCH = """
import sys
from export.__main__ import run
try:
    run(sys.argv[1:])
finally:
    assert "torch" not in sys.modules
"""


def digests(repository: Path) -> Mapping[str, str]:
    """Of every file but the card, which names the source and the time."""
    return {
        str(path.relative_to(repository)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in repository.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


def command(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """`python -m export` without a network."""
    return forks.export(*arguments, network=False)


def of_file(whole: Whole, repository: Path) -> list[object]:
    """Arguments of the command."""
    nets = [word for kind, path in whole.nets.items() for word in ("--controlnet", f"{kind}={path}")]
    return [whole.file, "--tokenizer", whole.tokenizer, "--name", NAME, "--repository", repository, *nets]


def test_a_file_gives_the_graphs_of_its_folder_without_a_network(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    family = "sdxl"
    whole = shared(family, tmp_path_factory)
    of_folder, repository = tmp_path / "of-folder", tmp_path / "of-file"
    assert not export(open_source(str(whole.folder), {}), Options(of_folder, NAME)).skipped
    made = command(*of_file(whole, repository))
    assert made.returncode == 0, made.stderr
    assert digests(repository) == digests(of_folder)
    card = read_manifest(repository, NAME)
    assert (card.family, card.source) == (family, "whole.safetensors")
    for path in repository.rglob("*"):
        assert not path.is_file() or str(whole.file.parent).encode() not in path.read_bytes()
    words = [sys.executable, "-c", NO_TORCH, *map(str, of_file(whole, repository))]
    again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0 and "up to date" in again.stderr, again.stderr


def test_a_transformer_s_file_with_its_parts_gives_the_graphs_of_its_folder(tmp_path: Path) -> None:
    folder = tiny_flux.make(tmp_path / "model", depth=(0, 0), published=True)
    transformer = FluxTransformer2DModel.from_pretrained(folder / "transformer")
    file = trained_names.write(trained_names.flux(transformer), tmp_path / "flux.safetensors")
    of_folder, repository = tmp_path / "of-folder", tmp_path / "of-file"
    assert not export(open_source(str(folder), {}), Options(of_folder, NAME)).skipped
    names = ("text_encoder", "text_encoder_2", "vae", "tokenizer_2")
    parts = [word for name in names for word in ("--part", f"{name}={folder / name}")]
    made = command(file, *parts, "--tokenizer", folder / "tokenizer", "--name", NAME, "--repository", repository)
    assert made.returncode == 0, made.stderr
    assert digests(repository) == digests(of_folder)


@pytest.fixture(scope="module")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return shared("sd15", tmp_path_factory)


@pytest.fixture(scope="module")
def exported(sd15: Whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the model of the file, without ControlNets."""
    repository = tmp_path_factory.mktemp("of-file")
    export(open_source(str(sd15.file), {}, tokenizer=sd15.tokenizer), Options(repository, NAME))
    return repository


def made_of(file: Path, whole: Whole) -> str:
    """The fingerprint of an export of `file`."""
    source = open_source(str(file), {}, tokenizer=whole.tokenizer)
    return inputs_of(source, facts_of(source, NAME))


def test_another_weight_is_another_model_and_another_place_is_not(sd15: Whole, exported: Path, tmp_path: Path) -> None:
    repository = shutil.copytree(exported, tmp_path / "repository")
    same = shutil.copyfile(sd15.file, tmp_path / "whole.safetensors")
    assert export(open_source(str(same), {}, tokenizer=sd15.tokenizer), Options(repository, NAME)).skipped
    tensors = load_file(sd15.file)
    tensors["model.diffusion_model.out.2.bias"] += 1
    trained_names.write(tensors, same)
    assert made_of(same, sd15) != made_of(sd15.file, sd15)


def test_what_is_told_of_the_file_counts_too(sd15: Whole, tmp_path: Path) -> None:
    marked = load_file(sd15.file) | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    file = trained_names.write(marked, tmp_path / "whole.safetensors")
    assert made_of(file, sd15) != made_of(sd15.file, sd15)
    scheduler = facts_of(open_source(str(file), {}, tokenizer=sd15.tokenizer), NAME).scheduler
    assert (scheduler["_class_name"], scheduler["prediction_type"]) == ("DDIMScheduler", "v_prediction")
    assert scheduler["rescale_betas_zero_snr"] and scheduler["timestep_spacing"] == "trailing"


def test_a_refused_file_moves_nothing_into_place(sd15: Whole, exported: Path, tmp_path: Path) -> None:
    repository = shutil.copytree(exported, tmp_path / "repository")
    before = digests(repository)
    tensors = load_file(sd15.file)
    del tensors["first_stage_model.decoder.mid.block_1.norm1.bias"]
    file = trained_names.write(tensors, tmp_path / "whole.safetensors")
    told = command(file, "--tokenizer", sd15.tokenizer, "--name", NAME, "--repository", repository)
    assert told.returncode == SourceRefused.exit_code and "\n" not in told.stderr.strip(), told.stderr
    assert (
        "not exported: vae: whole.safetensors lacks the tensor 'decoder.mid_block.resnets.0.norm1.bias' that"
        in told.stderr
    )
    assert digests(repository) == before and {path.name[0] for path in repository.iterdir()} == {NAME}


def test_a_controlnet_is_added_from_a_file(sd15: Whole, exported: Path, tmp_path: Path) -> None:
    repository = shutil.copytree(exported, tmp_path / "repository")
    arguments = ["control", "canny", sd15.canny, "--model", NAME, "--name", "edges", "--repository", repository]
    told = command(*arguments)
    assert told.returncode == 0 and "t: edges added" in told.stderr, told.stderr
    card = read_manifest(repository, NAME)
    assert card.added["edges"].source == "canny.safetensors"
    converted = sd15.folder / "controlnet-canny" / "diffusion_pytorch_model.safetensors"
    assert command(*arguments[:2], converted, *arguments[3:]).returncode == 0
    # Whichever way its tensors are named, the graph is the same.
    assert read_manifest(repository, NAME).graphs["t_controlnet_edges"] == card.graphs["t_controlnet_edges"]


def test_a_controlnet_that_does_not_fit_is_refused_with_what_would(sd15: Whole, exported: Path, tmp_path: Path) -> None:
    from diffusers import ControlNetModel

    repository = shutil.copytree(exported, tmp_path / "repository")
    before, config = digests(repository), json.loads((sd15.folder / "controlnet-canny" / "config.json").read_text())
    # Depth and width; that each alone is noticed stands in tests of export.source.
    for change in ({"layers_per_block": 1}, {"cross_attention_dim": 96}):
        net = ControlNetModel.from_config(config | change)
        file = trained_names.write(trained_names.network(net), tmp_path / "other.safetensors")
        told = command("control", "canny", file, "--model", NAME, "--name", "edges", "--repository", repository)
        assert told.returncode == 8 and "\n" not in told.stderr.strip(), told.stderr
        assert "other.safetensors belongs to another family of models than 't'" in told.stderr
        assert "the model has 64 and [32, 32, 32" in told.stderr
    # Its label is the file's name, whatever folder it lies in.
    assert open_controlnet(str(sd15.canny), "canny", FAMILIES["sd15"]).label == "canny.safetensors"
    assert digests(repository) == before
