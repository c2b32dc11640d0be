"""Folders made to break the exporter: each is refused in one sentence with status 3, and nothing of it is run."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from typer.testing import CliRunner

from export.__main__ import app
from export.annotators.source import open_source as open_annotator
from export.control import app as control_app
from export.errors import SourceRefused
from export.facts import facts_of
from export.families.table import FAMILIES
from export.hostile import LONGEST_MESSAGE, MOST_BYTES, one_line
from export.source import DEMO_WEIGHTS, open_controlnet, open_source
from families.annotators import read_card
from families.manifest import ManifestError, read_manifest

PARTS = ("unet", "vae", "controlnet-canny")
CONFIGS = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    *(f"{part}/config.json" for part in PARTS),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model's configurations, one ControlNet, and weights of one number: the checks read no further."""
    root = tmp_path_factory.mktemp("hostile") / "model"
    shutil.copytree(DEMO_WEIGHTS, root, ignore=shutil.ignore_patterns("*.safetensors", "controlnet-[!c]*", "annotator"))
    for part in PARTS:
        save_file({"x": np.zeros(1, np.float32)}, root / part / "diffusion_pytorch_model.safetensors")
    save_file({"x": np.zeros(1, np.float32)}, root / "text_encoder" / "model.safetensors")
    return root


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Move a file aside inside the context; yields its path, which is free."""
    aside = path.with_name("aside")
    existed = path.exists()
    if existed:
        path.rename(aside)
    try:
        yield path
    finally:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if existed:
            aside.rename(path)


def refused(model: Path) -> str:
    """The sentence with which the folder is refused; "" if it is taken."""
    try:
        facts_of(open_source(str(model), {}), "mine")
    except SourceRefused as error:
        return str(error)
    return ""


def present(model: Path) -> list[str]:
    return [name for name in CONFIGS if (model / name).is_file()]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_is_taken_or_refused_in_a_sentence(model: Path, data: st.DataObject) -> None:
    path = model / data.draw(st.sampled_from(present(model)))
    config = json.loads(path.read_text())
    keys = data.draw(st.lists(st.sampled_from(sorted(config)), min_size=1, max_size=2)) if config else ["x"]
    changed: Any = config | {key: data.draw(JSON) for key in keys}
    if data.draw(st.integers(0, 9)) == 0:
        changed = data.draw(JSON)
    with replaced(path) as free:
        free.write_text(json.dumps(changed))
        said = refused(model)
    assert len(one_line(said)) <= LONGEST_MESSAGE + 3
    assert "Traceback" not in said and str(model.parent) not in said


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{}", b'{"x": NaN}', b"7", b'{"a": 1' + b"0" * 5000]
)
def test_what_is_no_json_object_is_refused_naming_the_file(model: Path, name: str, content: bytes) -> None:
    with replaced(model / name) as free:
        free.write_bytes(content)
        assert name.rpartition("/")[2] in refused(model)


@pytest.mark.parametrize("name", ["model_index.json", "unet/config.json", "tokenizer/tokenizer_config.json"])
def test_what_is_no_regular_file_is_not_opened(model: Path, name: str) -> None:
    with replaced(model / name) as free:
        os.mkfifo(free)
        assert "not a regular file" in refused(model)
    with replaced(model / name) as free:
        free.symlink_to("/dev/zero")
        assert "not a regular file" in refused(model)
    with replaced(model / name) as free:
        free.mkdir()
        assert "not a regular file" in refused(model)


@pytest.mark.parametrize("name", ["tokenizer/merges.txt", "tokenizer/added_tokens.json", "unet/model.index.json"])
def test_nor_is_one_that_only_a_library_would_open(model: Path, name: str) -> None:
    with replaced(model / name) as free:
        os.mkfifo(free)
        assert "not a regular file" in refused(model)


def test_a_file_without_end_is_read_to_the_bound_only(model: Path) -> None:
    with replaced(model / "model_index.json") as free:
        free.touch()
        os.truncate(free, MOST_BYTES * 1000)
        assert "larger than 64 MiB" in refused(model)


def test_links_that_lead_nowhere_are_missing_files(model: Path) -> None:
    for name in ("unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"):
        for target in ("nowhere", Path(name).name):
            with replaced(model / name) as free:
                free.symlink_to(target)
                assert refused(model)


def test_a_part_that_is_a_file_is_refused(model: Path) -> None:
    with replaced(model / "unet") as free:
        free.write_text("no folder")
        assert refused(model)


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b'{"x":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,4]}}',
        b'{"x":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}',
        b'{"x":{"dtype":["F32"],"shape":"1","data_offsets":{}}}',
        b'{"\\u001b[31m":{"dtype":"F32","shape":[1],"data_offsets":[0,9]}}',
        b"{}" + b" " * (1 << 20),
        b"null",
    ],
)
def test_headers_of_weights_are_refused_or_hold_nothing(model: Path, header: bytes) -> None:
    with replaced(model / "vae" / "diffusion_pytorch_model.safetensors") as free:
        free.write_bytes(len(header).to_bytes(8, "little") + header)
        said = refused(model)
        assert said == "" if header.startswith(b"{}") else "safetensors" in said


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("model_index.json", {"_class_name": ["StableDiffusionPipeline"]}),
        ("model_index.json", {"_class_name": {"a": 1}}),
        ("unet/config.json", {"_class_name": [["UNet2DConditionModel"]]}),
        ("unet/config.json", {"layers_per_block": 10**9}),
        ("unet/config.json", {"layers_per_block": [2, 2, 2, 2]}),
        ("unet/config.json", {"block_out_channels": "x" * 100_000}),
        ("unet/config.json", {"block_out_channels": [1] * 100_000}),
        ("unet/config.json", {"block_out_channels": [[64], 96, 128]}),
        ("unet/config.json", {"down_block_types": [["CrossAttnDownBlock2D"]]}),
        ("unet/config.json", {"sample_size": [16, 16]}),
        ("unet/config.json", {"cross_attention_dim": True}),
        ("unet/config.json", {"time_embedding_dim": 10**12}),
        ("text_encoder/config.json", {"architectures": 7}),
        ("text_encoder/config.json", {"architectures": [["CLIPTextModel"], {}]}),
        ("text_encoder/config.json", {"vocab_size": "49408"}),
        ("text_encoder/config.json", {"hidden_size": 1e999}),
        ("text_encoder/config.json", {"hidden_act": []}),
        ("vae/config.json", {"scaling_factor": "0.18"}),
        ("vae/config.json", {"block_out_channels": [1, 2, "3", 4]}),
        ("controlnet-canny/config.json", {"block_out_channels": {}}),
        ("scheduler/scheduler_config.json", {"_class_name": None}),
        ("scheduler/scheduler_config.json", {"prediction_type": ["epsilon"]}),
        ("scheduler/scheduler_config.json", {"beta_start": "0.1"}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}),
        ("scheduler/scheduler_config.json", {"trained_betas": [[1]]}),
        ("tokenizer/tokenizer_config.json", {"eos_token": ["x"]}),
        ("tokenizer/tokenizer_config.json", {"eos_token": {"no": "content"}}),
        ("tokenizer/special_tokens_map.json", {"pad_token": 7}),
        ("tokenizer/tokenizer.json", {"model": [], "added_tokens": 7}),
    ],
)
def test_wrong_types_are_refused(model: Path, file: str, values: dict[str, Any]) -> None:
    with replaced(model / file) as free:
        old = free.with_name("aside")
        free.write_text(json.dumps((json.loads(old.read_text()) if old.exists() else {}) | values))
        said = refused(model)
    assert said and len(said) < 600


def test_a_name_can_write_nothing_but_text_to_a_terminal(model: Path) -> None:
    named = model / "unet" / "\x1b]0;owned\x07\x1b[2J\n.bin"
    with replaced(model / "unet" / "diffusion_pytorch_model.safetensors"), replaced(named) as free:
        free.write_bytes(b"")
        result = CliRunner().invoke(app, [str(model)])
    assert result.exit_code == 3
    assert result.stderr.startswith("not exported: unet: ") and result.stderr.count("\n") == 1
    assert result.stderr.rstrip("\n").isprintable()


def test_a_folders_name_is_text_in_the_card(model: Path, tmp_path: Path) -> None:
    odd = shutil.copytree(model, tmp_path / "a\x1b[31m\nb")
    assert open_source(str(odd), {}).label.isprintable()
    assert open_controlnet(str(odd / "controlnet-canny"), "canny", FAMILIES["sd15"]).label.isprintable()


@pytest.mark.parametrize("name", ["a" * 300, "x\ny", "../x", "-"])
def test_a_name_that_no_folder_can_have_is_refused(model: Path, tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(app, [str(model), f"--name={name}", f"--repository={tmp_path / 'repository'}"])
    assert (result.exit_code, result.stderr.strip().count("\n")) == (3, 0), result.stderr
    assert not (tmp_path / "repository").exists()


def test_every_command_ends_with_status_3(model: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    (hostile / "config.json").write_text("[" * 100_000)
    for one, arguments in ((app, [str(hostile)]), (control_app, ["canny", str(hostile), "--model", "demo"])):
        result = CliRunner().invoke(one, arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    for kind in ("depth", "segmentation", "demo"):
        with pytest.raises(SourceRefused):
            open_annotator(kind, str(hostile))


@pytest.mark.parametrize("content", [b'{"scheduler":' + b"[" * 100_000, b"\xff", b"[]", b'{"name": 7}'])
def test_cards_that_can_not_be_read_are_named(tmp_path: Path, content: bytes) -> None:
    for folder, file in (("mine", "manifest.json"), ("annotator_mine", "annotator.json")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_bytes(content)
    with pytest.raises(ManifestError, match="not a valid card"):
        read_manifest(tmp_path, "mine")
    with pytest.raises(ManifestError, match="not a valid card"):
        read_card(tmp_path, "mine")
