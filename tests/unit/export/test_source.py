"""What is refused, and in which words, before torch is imported: every case is a folder with a real file in it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export import hub
from export.errors import HubUnreachable, SourceRefused
from export.facts import facts_of
from export.families.unet import residuals
from export.source import DEMO_WEIGHTS, default_name, open_source
from tests.rigs.mesh import DEMO_CONTROLS, ROOT

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The demo model's configurations with one-number weights: the checks read no further."""
    root = tmp_path / "model"
    shutil.copytree(DEMO_WEIGHTS, root, ignore=shutil.ignore_patterns("*.safetensors"))
    for part in ("unet", "vae", *(f"controlnet-{kind}" for kind in DEMO_CONTROLS)):
        save_file({"x": np.zeros(1, np.float32)}, root / part / WEIGHTS)
    save_file({"x": np.zeros(1, np.float32)}, root / "text_encoder" / "model.safetensors")
    return root


def change(path: Path, settings: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def refusal(model: Path, controlnets: Mapping[str, str] | None = None) -> str:
    with pytest.raises(SourceRefused) as raised:
        open_source(str(model), controlnets or {})
    assert str(model.parent) not in str(raised.value), "a message must not show where the folder lies"
    return str(raised.value)


def test_a_good_folder_passes_and_its_controlnets_are_found(model: Path) -> None:
    source = open_source(str(model), {})
    assert tuple(sorted(source.controlnets)) == DEMO_CONTROLS
    assert source.label == "model"


def test_a_controlnet_that_is_named_wins_over_one_that_is_found(model: Path, tmp_path: Path) -> None:
    other = shutil.copytree(model / "controlnet-depth", tmp_path / "other")
    source = open_source(str(model), {"canny": str(other), "pose": str(other)})
    assert source.controlnets["canny"].folder == other
    assert set(source.controlnets) == {*DEMO_CONTROLS, "pose"}


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "x.ckpt", "x.pt", "x.pkl"])
def test_pickle_weights_are_refused_and_never_opened(model: Path, name: str) -> None:
    (model / "unet" / WEIGHTS).unlink()
    canary = model / "opened"
    (model / "unet" / name).write_bytes(b"cposix\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    assert "can run code" in (said := refusal(model))
    assert "safe_serialization=True" in said
    assert not canary.exists()


def test_a_pickle_beside_safetensors_is_passed_over(model: Path) -> None:
    (model / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    assert open_source(str(model), {}).parts["unet"].weights.name == WEIGHTS


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04pickle", b"\xff" * 8 + b"{}", (2**63).to_bytes(8, "little") + b"{}"]
)
def test_a_file_that_only_calls_itself_safetensors_is_refused(model: Path, content: bytes) -> None:
    (model / "vae" / WEIGHTS).write_bytes(content)
    assert "not a complete safetensors file" in refusal(model)


def test_half_precision_files_are_taken_where_there_are_no_others(model: Path) -> None:
    (model / "unet" / WEIGHTS).rename(model / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    assert open_source(str(model), {}).parts["unet"].weights.name == "diffusion_pytorch_model.fp16.safetensors"
    assert open_source(str(model), {}).parts["vae"].weights.name == WEIGHTS


@pytest.mark.parametrize(
    ("file", "settings", "said"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionXLPipeline"}, "text_encoder_2: config.json is missing"),
        ("model_index.json", {"_class_name": "os.system"}, "os.system"),
        ("unet/config.json", {"_class_name": "FluxTransformer2DModel"}, "FluxTransformer2DModel"),
        ("unet/config.json", {"in_channels": 8}, "in_channels=8 is not SD1.5-shaped"),
        ("controlnet-canny/config.json", {"in_channels": 9}, "controlnet canny: in_channels=9"),
        ("unet/config.json", {"addition_embed_type": "text_time"}, "addition_embed_type"),
        ("unet/config.json", {"down_block_types": ["SimpleCrossAttnDownBlock2D"] * 3}, "down_block_types"),
        ("text_encoder/config.json", {"hidden_size": 64}, "not of the same model"),
        ("vae/config.json", {"latent_channels": 16}, "latent_channels=16"),
        ("vae/config.json", {"block_out_channels": [16, 32]}, "block_out_channels"),
        ("text_encoder/config.json", {"architectures": ["T5EncoderModel"]}, "T5EncoderModel"),
        ("text_encoder/config.json", {"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ("scheduler/scheduler_config.json", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "FlowMatch"),
        ("controlnet-canny/config.json", {"_class_name": "ControlNetUnionModel"}, "ControlNetUnionModel"),
        ("controlnet-canny/config.json", {"layers_per_block": 2}, "belongs to another model"),
    ],
)
def test_another_family_is_refused_naming_what_is_expected(
    model: Path, file: str, settings: dict[str, Any], said: str
) -> None:
    change(model / file, settings)
    assert said in refusal(model)


@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_unreadable_configurations_are_refused(model: Path, file: str, content: str) -> None:
    (model / file).write_text(content)
    assert file.split("/")[-1] in refusal(model)


def test_a_folder_that_is_not_there_is_no_hub_id() -> None:
    with pytest.raises(SourceRefused, match="neither a folder"):
        open_source("./nowhere", {})


def test_the_cache_alone_answers_offline_with_advice(tmp_path: Path) -> None:
    with pytest.raises(HubUnreachable, match=r"hf download nobody/no-such-model --local-dir FOLDER"):
        open_source("nobody/no-such-model", {}, offline=True)


def test_from_the_hub_come_configurations_and_one_safetensors_file_a_part() -> None:
    present = {
        "model_index.json",
        "README.md",
        "v1-5-pruned.ckpt",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
        "safety_checker/model.safetensors",
        *(f"unet/{name}" for name in ("config.json", WEIGHTS, "diffusion_pytorch_model.fp16.safetensors")),
        *(f"vae/{name}" for name in ("config.json", "diffusion_pytorch_model.bin")),
        *(f"text_encoder/{name}" for name in ("config.json", "model.fp16.safetensors", "pytorch_model.bin")),
    }
    assert set(hub.select(present, hub.PIPELINE)) == {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
        "unet/config.json",
        f"unet/{WEIGHTS}",
        "vae/config.json",
        "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors",
    }


@pytest.mark.parametrize(
    ("source", "name"),
    [("./My-Model/", "my-model"), ("owner/Some_Model.v1.5", "some_model-v1-5"), ("/a/b c", "b-c"), ("demo", "demo")],
)
def test_default_names(source: str, name: str) -> None:
    assert default_name(source) == name


def test_stable_diffusion_15_has_twelve_residuals_and_the_middle() -> None:
    assert residuals((320, 640, 1280, 1280), 2) == (
        *((320, 1),) * 3,
        (320, 2),
        *((640, 2),) * 2,
        (640, 4),
        *((1280, 4),) * 2,
        (1280, 8),
        *((1280, 8),) * 2,
        (1280, 8),
    )


def test_facts_come_from_the_configurations(model: Path) -> None:
    facts = facts_of(open_source(str(model), {}), "some")
    assert (facts.native_size, facts.downscale, facts.text_width, facts.encoders[0].layers) == (128, 8, 128, 2)
    assert facts.scheduler["prediction_type"] == "v_prediction"
    assert facts.controls == DEMO_CONTROLS


def test_a_tokenizer_of_another_model_is_refused(model: Path) -> None:
    change(model / "text_encoder" / "config.json", {"vocab_size": 100})
    with pytest.raises(SourceRefused, match="do not match"):
        facts_of(open_source(str(model), {}), "some")
    change(model / "tokenizer" / "tokenizer_config.json", {"pad_token": "<nothing>"})
    with pytest.raises(SourceRefused, match="<nothing>"):
        facts_of(open_source(str(model), {}), "some")


@pytest.mark.parametrize("words", [["./no[/]such"], ["control", "canny", "./no[/]such", "--model", "demo"]])
def test_a_source_in_brackets_is_named_as_it_was_written(words: list[str]) -> None:
    told = subprocess.run([sys.executable, "-m", "export", *words], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == SourceRefused.exit_code
    assert "'./no[/]such'" in told.stderr and "Traceback" not in told.stderr
