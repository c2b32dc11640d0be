"""A model in shards, exported as if it were large: the same graphs as of whole files, to the byte."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export.errors import Mismatch, SourceRefused
from export.exporter import export
from export.options import Options
from export.source import open_source
from families.manifest import read_manifest
from tests.rigs.shards import shard

NAME = "t"
SMALL = 200_000
"""Bytes in memory at once: less than any network of the model has, so all are read by layers and run in pieces."""


@pytest.fixture(scope="module")
def sharded(sd15_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    own = tmp_path_factory.mktemp("sharded") / "tiny"
    return shard(shutil.copytree(sd15_folder, own, ignore=shutil.ignore_patterns("controlnet-[!c]*")))


def test_shards_layer_by_layer_make_the_graphs_of_whole_files(sharded: Path, exported: Path, tmp_path: Path) -> None:
    card = export(open_source(str(sharded), {}), Options(tmp_path, NAME, resident=SMALL)).manifest
    whole = read_manifest(exported, NAME)
    assert f"{NAME}_controlnet_canny" in card.graphs
    assert {name: made.sha256 for name, made in card.graphs.items()} == {
        name: whole.graphs[name].sha256 for name in card.graphs
    }
    assert card.fingerprint != whole.fingerprint
    np.testing.assert_allclose(card.preview, whole.preview, atol=3e-5)
    assert {path.name for path in (tmp_path / f"{NAME}_unet" / "1").iterdir()} == {"model.onnx"}


def test_a_graph_that_differs_is_noticed_in_pieces_too(sharded: Path, tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match=r"t_text_encoder at batch \d.*differs from torch"):
        export(open_source(str(sharded), {}), Options(tmp_path, NAME, resident=SMALL, tolerance=0.0))
    assert not list(tmp_path.iterdir())


def test_a_shard_with_a_tensor_of_another_shape_moves_nothing_into_place(sharded: Path, tmp_path: Path) -> None:
    own = shutil.copytree(sharded, tmp_path / "source")
    path = own / "unet" / "diffusion_pytorch_model-00002-of-00003.safetensors"
    tensors = load_file(path)
    name = min(name for name, tensor in tensors.items() if tensor.ndim == 1)
    save_file(tensors | {name: np.zeros(7, np.float32)}, path)
    with pytest.raises(SourceRefused, match=f"unet: the weights are not those that .* such as {name}"):
        export(open_source(str(own), {}), Options(tmp_path / "repository", NAME))
    assert not list((tmp_path / "repository").iterdir())
