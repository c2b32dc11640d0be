"""Weights in several files: which folders are taken, and in which words others are refused before torch is imported."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export import hub
from export.errors import SourceRefused
from export.facts import facts_of
from export.fingerprint import inputs_of
from export.shards import INDEXES
from export.source import DEMO_WEIGHTS, open_source

WHOLE = "diffusion_pytorch_model.safetensors"
INDEX = "diffusion_pytorch_model.safetensors.index.json"
SHARDS = tuple(f"diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The demo model's configurations with weights of one number, the UNet's in two files: checks read no more."""
    root = tmp_path / "model"
    shutil.copytree(DEMO_WEIGHTS, root, ignore=shutil.ignore_patterns("*.safetensors", "controlnet-[!c]*", "annotator"))
    for part in ("vae", "controlnet-canny"):
        save_file({"x": np.zeros(1, np.float32)}, root / part / WHOLE)
    save_file({"x": np.zeros(1, np.float32)}, root / "text_encoder" / "model.safetensors")
    for shard, names in zip(SHARDS, (("a", "b"), ("c",)), strict=True):
        save_file({name: np.zeros(3, np.float32) for name in names}, root / "unet" / shard)
    index(root, {"a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[1]})
    return root


def index(root: Path, weight_map: Any) -> None:
    (root / "unet" / INDEX).write_text(json.dumps({"metadata": {"total_size": 36}, "weight_map": weight_map}))


def refusal(model: Path) -> str:
    with pytest.raises(SourceRefused) as raised:
        open_source(str(model), {})
    said = str(raised.value)
    assert said.startswith("unet: ") and "\n" not in said and len(said) < 400
    assert str(model.parent) not in said
    return said


def test_an_index_with_its_shards_is_taken(model: Path) -> None:
    part = open_source(str(model), {}).parts["unet"]
    assert part.weights.name == INDEX and [path.name for path in part.tensor_files] == list(SHARDS)
    assert [path.name for path in part.files()] == ["config.json", INDEX, *SHARDS]


def test_any_shard_is_of_the_fingerprint(model: Path) -> None:
    def made_of() -> str:
        source = open_source(str(model), {})
        return inputs_of(source, facts_of(source, "mine"))

    before = made_of()
    save_file({"c": np.ones(3, np.float32)}, model / "unet" / SHARDS[1])
    assert made_of() != before


def test_one_file_in_full_precision_wins_over_an_index_and_that_over_half(model: Path) -> None:
    unet = model / "unet"
    half = INDEXES["diffusion_pytorch_model.fp16.safetensors"]
    (unet / half).write_text((unet / INDEX).read_text())
    assert open_source(str(model), {}).parts["unet"].weights.name == INDEX
    (unet / INDEX).unlink()
    assert open_source(str(model), {}).parts["unet"].weights.name == half
    save_file({"x": np.zeros(1, np.float32)}, unet / WHOLE)
    assert open_source(str(model), {}).parts["unet"].tensor_files == (unet / WHOLE,)


def test_links_to_shards_are_followed_as_in_the_hub_s_cache(model: Path) -> None:
    blobs = model.parent / "blobs"
    blobs.mkdir()
    for number, name in enumerate((INDEX, *SHARDS)):
        (model / "unet" / name).rename(blobs / str(number))
        (model / "unet" / name).symlink_to(f"../../blobs/{number}")
    assert len(open_source(str(model), {}).parts["unet"].tensor_files) == 2


def test_a_missing_shard_is_named_with_its_tensors(model: Path) -> None:
    (model / "unet" / SHARDS[0]).unlink()
    assert refusal(model) == f"unet: {SHARDS[0]} is missing, in which {INDEX} has 2 tensors such as 'a'"
    (model / "unet" / SHARDS[0]).symlink_to("nowhere")
    assert f"{SHARDS[0]} is missing" in refusal(model)


@pytest.mark.parametrize("left", [0, 7, 60, -1])
def test_a_shard_that_is_cut_off_is_named(model: Path, left: int) -> None:
    shard = model / "unet" / SHARDS[1]
    shard.write_bytes(shard.read_bytes()[:left])
    assert f"unet: {SHARDS[1]} is not a complete safetensors file" in refusal(model)


def test_a_tensor_that_is_not_in_its_shard_is_named(model: Path) -> None:
    index(model, {"a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[1], "d": SHARDS[1]})
    assert refusal(model) == f"unet: {SHARDS[1]} lacks the tensor 'd' that {INDEX} has there"
    index(model, {"a": SHARDS[0], "b": SHARDS[1], "c": SHARDS[1]})
    assert "the tensor 'b'" in refusal(model)


def test_a_tensor_that_the_index_does_not_have_is_named(model: Path) -> None:
    index(model, {"a": SHARDS[0], "c": SHARDS[1]})
    assert refusal(model) == f"unet: {SHARDS[0]} has the tensor 'b' that {INDEX} does not have there"


@pytest.mark.parametrize(
    "place",
    [
        "../vae/diffusion_pytorch_model.safetensors",
        "/etc/x.safetensors",
        "sub/x.safetensors",
        "..\\x.safetensors",
        "..",
        ".safetensors",
        "x.bin",
        "x\n.safetensors",
        "x\0.safetensors",
        "a" * 300 + ".safetensors",
        "",
        7,
        None,
        ["x.safetensors"],
    ],
)
def test_a_place_that_is_no_file_of_the_folder_is_never_looked_at(model: Path, place: Any) -> None:
    index(model, {"a": SHARDS[0], "b": SHARDS[0], "c": place})
    assert f"{INDEX} places the tensor 'c' in " in refusal(model)


@pytest.mark.parametrize(
    "weight_map", [None, {}, [], "x", {"x": SHARDS[0]} | {str(n): SHARDS[0] for n in range(50_001)}]
)
def test_an_index_that_is_no_map_is_refused(model: Path, weight_map: Any) -> None:
    index(model, weight_map)
    assert INDEX in refusal(model)


def test_an_index_of_thousands_of_files_is_refused(model: Path) -> None:
    index(model, {str(number): f"{number}.safetensors" for number in range(1_001)})
    assert "has 1001 shards; at most 1000 are read" in refusal(model)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_an_index_that_can_not_be_read_is_named(model: Path, content: bytes) -> None:
    (model / "unet" / INDEX).write_bytes(content)
    assert INDEX in refusal(model)


@pytest.mark.parametrize("name", [INDEX, SHARDS[0]])
def test_what_is_no_regular_file_is_not_opened(model: Path, name: str) -> None:
    (model / "unet" / name).unlink()
    os.mkfifo(model / "unet" / name)
    assert f"unet: {name} is not a regular file" in refusal(model)


def test_shards_of_pickles_are_refused(model: Path) -> None:
    for path in (model / "unet").glob("*.safetensors*"):
        path.unlink()
    (model / "unet" / "diffusion_pytorch_model.bin.index.json").write_text("{}")
    (model / "unet" / "diffusion_pytorch_model-00001-of-00001.bin").write_bytes(b"pickle")
    assert "can run code" in refusal(model)


def test_from_the_hub_come_an_index_and_its_shards_alone() -> None:
    t5 = {f"text_encoder_2/model-0000{number}-of-00002.safetensors" for number in (1, 2)}
    half = {f"transformer/diffusion_pytorch_model.fp16-0000{number}-of-00002.safetensors" for number in (1, 2)}
    wanted = {
        "model_index.json",
        "text_encoder_2/config.json",
        "text_encoder_2/model.safetensors.index.json",
        *t5,
        "transformer/diffusion_pytorch_model.safetensors.index.fp16.json",
        *half,
        f"unet/{WHOLE}",
    }
    present = wanted | {
        "flux1-dev.safetensors",
        "text_encoder_2/model.safetensors.index.fp16.json",
        "text_encoder_2/model.fp16-00001-of-00002.safetensors",
        "text_encoder_2/pytorch_model-00001-of-00002.bin",
        "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
        f"unet/{INDEX}",
        "vae/sub/model-00001-of-00002.safetensors",
    }
    assert set(hub.select(present, hub.PIPELINE)) == wanted


def test_a_controlnet_s_shards_come_from_the_hub_too() -> None:
    present = {"config.json", INDEX, *SHARDS, "other-00001-of-00002.safetensors", "diffusion_pytorch_model.bin"}
    assert set(hub.select(present, hub.CONTROLNET)) == {"config.json", INDEX, *SHARDS}
