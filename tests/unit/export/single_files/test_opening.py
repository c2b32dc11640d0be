"""Single files: what is told from shapes, at the published sizes and tiny ones; what is refused, and in which words."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from export.errors import SourceRefused
from export.facts import facts_of
from export.families.table import FAMILIES
from export.single_files.header import Header, read
from export.single_files.opening import controlnet_of, model_of
from export.source import default_name, open_controlnet, open_source
from families.facts import Concat
from tests.rigs import trained_names
from tests.rigs.mesh import ROOT
from tests.rigs.tiny_whole import Whole, require_the_same

SD15_UNET: dict[str, Any] = {"cross_attention_dim": 768}
"""diffusers' defaults are Stable Diffusion 1.5 otherwise."""
SDXL_UNET: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SDXL_UP = ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}


def header(tensors: Mapping[str, Any]) -> Header:
    """As a file of these tensors has it."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return Header(Path("some.safetensors"), shapes, dict.fromkeys(shapes, "F16"))


def published(family: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tensors of a model of published size, which take no memory, and its parts' configurations."""
    with torch.device("meta"):
        network = SD15_UNET if family == "sd15" else {**SDXL_UNET, "up_block_types": SDXL_UP}
        unet, vae = UNet2DConditionModel(**network), AutoencoderKL(**VAE)
        first = CLIPTextModel(CLIPTextConfig(**CLIP_L))
        second = CLIPTextModelWithProjection(CLIPTextConfig(**CLIP_G, projection_dim=1280, hidden_act="gelu"))
        tensors = {f"model.diffusion_model.{name}": one for name, one in trained_names.network(unet).items()}
        tensors |= {f"first_stage_model.{name}": one for name, one in trained_names.autoencoder(vae).items()}
        if family == "sd15":
            return tensors | trained_names.clip(first.state_dict(), "cond_stage_model.transformer."), dict(unet.config)
        tensors |= trained_names.clip(first.state_dict(), "conditioner.embedders.0.transformer.")
        tensors |= trained_names.open_clip(second.state_dict(), "conditioner.embedders.1.model.")
        return tensors, dict(unet.config)


def same(told: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """`told` must say what the library said."""
    levels = len(made["block_out_channels"])
    for key, value in told.items():
        if key in ("_class_name", "sample_size"):
            continue
        expected = list(made[key]) if isinstance(made[key], tuple) else made[key]
        if key == "transformer_layers_per_block" and isinstance(expected, int):
            expected = [expected] * levels
        assert value == expected, key


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_published_sizes_are_told_from_shapes(family: str) -> None:
    tensors, network = published(family)
    opened = model_of(header(tensors), None)
    assert opened.family == family
    same(opened.parts["unet"].config, network)
    first, pictures = opened.parts["text_encoder"].config, opened.parts["vae"].config
    assert {key: first[key] for key in CLIP_L} == CLIP_L and first["vocab_size"] == 49_408
    assert pictures["block_out_channels"] == [128, 256, 512, 512] and pictures["layers_per_block"] == 2
    assert pictures["scaling_factor"] == {"sd15": 0.18215, "sdxl": 0.13025}[family]
    assert opened.parts["unet"].config["sample_size"] == {"sd15": 64, "sdxl": 128}[family]
    if family == "sdxl":
        second = opened.parts["text_encoder_2"].config
        assert {key: second[key] for key in CLIP_G} == CLIP_G
        assert (second["projection_dim"], second["hidden_act"], second["pad_token_id"]) == (1280, "gelu", 0)


@pytest.mark.parametrize("named", ["control_model.", "", "diffusers"])
@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_published_controlnets_are_told_in_every_layout(family: str, named: str) -> None:
    with torch.device("meta"):
        net = ControlNetModel(**(SD15_UNET if family == "sd15" else SDXL_UNET))
    tensors = net.state_dict() if named == "diffusers" else trained_names.network(net)
    prefix = "" if named == "diffusers" else named
    named_so = header({prefix + name: tensor for name, tensor in tensors.items()})
    part = controlnet_of(named_so, family, "controlnet canny")
    same(part.config, net.config)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_file_says_what_its_folder_says(request: pytest.FixtureRequest, family: str) -> None:
    whole: Whole = request.getfixturevalue(family)
    file = open_source(str(whole.file), whole.nets, tokenizer=whole.tokenizer)
    folder = open_source(str(whole.folder), {})
    assert (file.label, file.root) == ("whole.safetensors", None)
    require_the_same(file, folder)


def test_neither_a_good_file_nor_a_refused_one_waits_for_torch(sdxl: Whole) -> None:
    code = (
        "import sys; from pathlib import Path; from export.errors import SourceRefused\n"
        "from export.source import open_source\n"
        f"open_source({str(sdxl.file)!r}, {{}}, tokenizer=Path({str(sdxl.tokenizer)!r}))\n"
        f"try: open_source({str(sdxl.file)!r}, {{}})\n"
        "except SourceRefused: assert 'torch' not in sys.modules\n"
        "else: raise AssertionError"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("markers", "expected"),
    [
        ((), {"prediction_type": "epsilon", "timestep_spacing": "leading"}),
        (("v_pred",), {"prediction_type": "v_prediction", "timestep_spacing": "leading"}),
        (
            ("v_pred", "ztsnr"),
            {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True},
        ),
        # Noise can't be predicted where there is nothing but noise.
        (("ztsnr",), {"prediction_type": "epsilon", "timestep_spacing": "leading"}),
    ],
)
def test_markers_tell_the_prediction(
    sdxl: Whole, tmp_path: Path, markers: tuple[str, ...], expected: dict[str, Any]
) -> None:
    tensors = load_file(sdxl.file) | {name: torch.zeros(0) for name in markers}
    file = trained_names.write(tensors, tmp_path / "marked.safetensors")
    scheduler = open_source(str(file), {}, tokenizer=sdxl.tokenizer).scheduler
    assert scheduler["_class_name"] == "EulerDiscreteScheduler"
    assert {key: scheduler[key] for key in expected} == expected
    assert ("rescale_betas_zero_snr" in scheduler) == ("rescale_betas_zero_snr" in expected)


def refusal(whole: Whole, tensors: Mapping[str, Any], folder: Path, nets: Mapping[str, str] | None = None) -> str:
    """The sentence with which a file of these tensors is refused."""
    file = trained_names.write(tensors, folder / "mine.safetensors")
    with pytest.raises(SourceRefused) as raised:
        open_source(str(file), nets or {}, tokenizer=whole.tokenizer)
    said = str(raised.value)
    assert str(folder) not in said and "\n" not in said and len(said) < 700
    return said


@pytest.mark.parametrize(
    ("family", "prefix", "said"),
    [
        ("sd15", "first_stage_model.", "vae: 'mine.safetensors' has no tensors first_stage_model.*"),
        ("sd15", "cond_stage_model.", "text_encoder: 'mine.safetensors' has no tensors cond_stage_model.transformer.*"),
        ("sd15", "model.diffusion_model.", "is no model that is known here"),
        ("sd15", "model.diffusion_model.out.2.", "unet: tensor 'model.diffusion_model.out.2.weight' is missing"),
        (
            "sd15",
            "model.diffusion_model.input_blocks.2.",
            "unet: tensors 'model.diffusion_model.input_blocks.*' are not",
        ),
        (
            "sdxl",
            "conditioner.embedders.1.",
            "text_encoder_2: 'mine.safetensors' has no tensors conditioner.embedders.1",
        ),
        ("sdxl", "conditioner.embedders.1.model.text_projection", "text_projection' is missing"),
        (
            "sdxl",
            "first_stage_model.encoder.down.2.",
            "vae: tensors 'first_stage_model.encoder.down.*' are not numbered",
        ),
    ],
)
def test_a_missing_part_is_named(
    request: pytest.FixtureRequest, tmp_path: Path, family: str, prefix: str, said: str
) -> None:
    whole: Whole = request.getfixturevalue(family)
    kept = {name: tensor for name, tensor in load_file(whole.file).items() if not name.startswith(prefix)}
    assert said in refusal(whole, kept, tmp_path)


def widened(tensors: dict[str, Any]) -> dict[str, Any]:
    name = "model.diffusion_model.input_blocks.0.0.weight"
    return tensors | {name: torch.zeros(32, 8, 3, 3)}


def uneven(tensors: dict[str, Any]) -> dict[str, Any]:
    name = "model.diffusion_model.input_blocks.2.0.out_layers.3.weight"
    return tensors | {name: torch.zeros(48, 32, 3, 3)}


def other_words(tensors: dict[str, Any]) -> dict[str, Any]:
    name = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    return tensors | {name: torch.zeros(49_408, 64)}


def flat(tensors: dict[str, Any]) -> dict[str, Any]:
    return tensors | {"first_stage_model.encoder.conv_in.weight": torch.zeros(3)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (widened, "unet: in_channels=8 is not SD1.5-shaped"),
        (uneven, "unet: its resolutions have layers of (channels, transformer layers) [[(32, 1), (48, 1)]"),
        (other_words, "text_encoder: it has embeddings of 49408 tokens, but the folder of --tokenizer has 698"),
        (flat, "vae: tensor 'first_stage_model.encoder.conv_in.weight' has 1 dimensions instead of 4"),
    ],
)
def test_shapes_that_do_not_fit_are_named(
    sd15: Whole, tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], said: str
) -> None:
    assert said in refusal(sd15, change(load_file(sd15.file)), tmp_path)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other.double_blocks.0.img_attn.norm.key_norm.scale", "a FLUX model"),
        ("controlnet_blocks.0.weight", "a ControlNet of FLUX"),
        ("model.diffusion_model.joint_blocks.0.x_block.mlp.fc1.weight", "a Stable Diffusion 3 model"),
        ("conditioner.embedders.0.model.ln_final.bias", "SDXL's refiner"),
        ("cond_stage_model.model.ln_final.bias", "a Stable Diffusion 2 model"),
        ("edm_mean", "EDM's noise"),
        ("lora_unet_down_blocks_0.lora_up.weight", "a LoRA"),
        ("lora_controlnet", "a control LoRA"),
        ("control_model.input_hint_block.0.weight", "--controlnet KIND=FILE"),
        ("down_blocks.0.resnets.0.conv1.weight", "one part of a diffusers folder"),
        ("x\x1b[2J", "is no model that is known here"),
    ],
)
def test_another_kind_of_file_is_named(sd15: Whole, tmp_path: Path, name: str, said: str) -> None:
    words = refusal(sd15, {name: torch.zeros(1)}, tmp_path)
    assert said in words and "Expected is a whole SD1.5 or SDXL model in one file" in words


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_shape_is_anything_but_a_model_or_a_refusal(sdxl: Whole, data: st.DataObject) -> None:
    shapes = dict(read(sdxl.file).shapes)
    sizes = st.lists(st.integers(0, 2**40), max_size=5).map(tuple)
    for name in data.draw(st.lists(st.sampled_from(sorted(shapes)), min_size=1, max_size=3)):
        if (shape := data.draw(st.none() | sizes)) is None:
            shapes.pop(name, None)
        else:
            shapes[name] = shape
    changed = Header(sdxl.file, shapes, dict.fromkeys(shapes, "F32"))
    try:
        found = model_of(changed, sdxl.tokenizer)
    except SourceRefused as error:
        assert len(str(error)) < 700
    else:
        assert found.parts.keys() == FAMILIES["sdxl"].parts.keys()


def test_a_file_of_too_many_tensors_is_refused(tmp_path: Path) -> None:
    count, one = 50_001, {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    text = json.dumps({f"input_blocks.{number}.0.op.weight": one for number in range(count)}).encode()
    file = tmp_path / "x.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(SourceRefused, match=r"'x\.safetensors' has 50001 tensors; at most 50000 are read"):
        open_source(str(file), {})


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_an_inpainting_model_is_told_by_its_channels(
    request: pytest.FixtureRequest, tmp_path: Path, family: str
) -> None:
    whole: Whole = request.getfixturevalue(family)
    name = "model.diffusion_model.input_blocks.0.0.weight"
    file = trained_names.write(load_file(whole.file) | {name: torch.zeros(32, 9, 3, 3)}, tmp_path / "x.safetensors")
    assert facts_of(open_source(str(file), {}, tokenizer=whole.tokenizer), "mine").concat == Concat()


def test_a_file_without_tensors_is_refused(sd15: Whole, tmp_path: Path) -> None:
    assert "has no tensors" in refusal(sd15, {}, tmp_path)


def test_a_controlnet_of_another_family_is_refused_by_name(sd15: Whole, sdxl: Whole) -> None:
    for whole, other, said in (
        (sdxl, sd15, "controlnet canny: a resolution with attention has 32 channels, but SDXL's heads take 64"),
        (sd15, sdxl, "controlnet canny: addition_embed_type='text_time' is not SD1.5-shaped"),
    ):
        with pytest.raises(SourceRefused) as raised:
            open_source(str(whole.file), {"canny": str(other.canny)}, tokenizer=whole.tokenizer)
        assert said in str(raised.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"block_out_channels": (32, 32, 64)}, "block_out_channels is [32, 32, 64] but the UNet has [32, 32, 64, 64]"),
        ({"block_out_channels": (32, 64, 64, 64)}, "block_out_channels is [32, 64, 64, 64] but the UNet has"),
        ({"layers_per_block": 1}, "layers_per_block is 1 but the UNet has 2"),
        ({"cross_attention_dim": 96}, "cross_attention_dim is 96 but the UNet has 64"),
    ],
)
def test_a_controlnet_s_depth_and_width_must_be_its_unet_s(
    sd15: Whole, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    config = json.loads((sd15.folder / "controlnet-canny" / "config.json").read_text())
    levels = len(change.get("block_out_channels", config["block_out_channels"]))
    config["down_block_types"] = config["down_block_types"][-levels:]
    net = ControlNetModel.from_config(config | change)
    for tensors in (net.state_dict(), trained_names.network(net)):
        file = trained_names.write(tensors, tmp_path / "canny.safetensors")
        with pytest.raises(SourceRefused, match="belongs to another model") as raised:
            open_source(str(sd15.file), {"canny": str(file)}, tokenizer=sd15.tokenizer)
        assert f"controlnet canny: {said}" in str(raised.value)


def test_a_published_controlnet_of_sd15_is_none_for_an_sdxl(sdxl: Whole) -> None:
    with torch.device("meta"):
        net = ControlNetModel(**SD15_UNET)
    part = controlnet_of(header(net.state_dict()), "sdxl", "controlnet canny")
    source = open_source(str(sdxl.file), {}, tokenizer=sdxl.tokenizer)
    with pytest.raises(SourceRefused, match=r"block_out_channels is \[320, 640, 1280, 1280\] but the UNet has"):
        FAMILIES["sdxl"].check_net(part.config, source, "canny")


def test_heads_that_do_not_divide_a_level_are_refused(tmp_path: Path, sdxl: Whole) -> None:
    config = json.loads((sdxl.folder / "controlnet-canny" / "config.json").read_text())
    net = ControlNetModel.from_config(config | {"block_out_channels": (32, 96, 128)})
    file = trained_names.write(net.state_dict(), tmp_path / "canny.safetensors")
    with pytest.raises(SourceRefused, match="has 96 channels, but SDXL's heads take 64 channels each"):
        open_controlnet(str(file), "canny", FAMILIES["sdxl"])


def test_what_is_no_controlnet_is_said(sd15: Whole, tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match=r"'whole\.safetensors' looks like a whole model, no ControlNet"):
        open_controlnet(str(sd15.file), "canny", FAMILIES["sd15"])
    other = trained_names.write({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(SourceRefused, match=r"controlnet canny: expected is a ControlNet in one file"):
        open_controlnet(str(other), "canny", FAMILIES["sd15"])


@pytest.mark.parametrize("name", ["x.ckpt", "x.pt", "x.bin", "x.CKPT", "x.pth"])
def test_pickles_are_refused_unopened_and_it_is_said_how_to_convert(tmp_path: Path, name: str) -> None:
    file, canary = tmp_path / name, tmp_path / "opened"
    file.write_bytes(b"cposix\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.")
    openings: tuple[Callable[[], Any], ...] = (
        lambda: open_source(str(file), {}),
        lambda: open_controlnet(str(file), "canny", FAMILIES["sd15"]),
    )
    for opening in openings:
        with pytest.raises(SourceRefused, match="can run code when loaded and is refused") as raised:
            opening()
        assert "safetensors.torch.save_file(" in str(raised.value) and str(tmp_path) not in str(raised.value)
    assert not canary.exists()


def test_a_conversion_as_the_refusal_says_is_taken(sd15: Whole, tmp_path: Path) -> None:
    torch.save({"state_dict": load_file(sd15.file), "epoch": 3}, tmp_path / "x.ckpt")
    with pytest.raises(SourceRefused) as raised:
        open_source(str(tmp_path / "x.ckpt"), {})
    code = str(raised.value).partition("convert it once: ")[2].rstrip(".")
    made = tmp_path / "NAME.safetensors"
    code = code.replace("FILE", repr(str(tmp_path / "x.ckpt"))).replace('"NAME.safetensors"', repr(str(made)))
    subprocess.run([sys.executable, "-c", f"import safetensors.torch, torch; {code}"], check=True)
    assert open_source(str(made), {}, tokenizer=sd15.tokenizer).family == "sd15"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04pickle",
        b"\xff" * 8 + b"{}",
        (2**63).to_bytes(8, "little") + b"{}",
        (100_000).to_bytes(8, "little") + b"[" * 100_000,
    ],
)
def test_what_only_calls_itself_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(content)
    with pytest.raises(SourceRefused, match=r"'x\.safetensors' is not a complete safetensors file"):
        open_source(str(file), {})


def test_pipes_and_other_files_are_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.safetensors")
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(SourceRefused, match=r"'x\.safetensors' is not a regular file"):
        open_source(str(tmp_path / "x.safetensors"), {})
    with pytest.raises(SourceRefused, match=r"'x\.txt' is a file, but no \.safetensors file"):
        open_source(str(tmp_path / "x.txt"), {})


@pytest.mark.parametrize("name", ["models/nothing.safetensors", "nothing.safetensors", "models/nothing.ckpt"])
def test_a_file_that_is_not_there_is_no_hub_id(name: str) -> None:
    with pytest.raises(SourceRefused, match="neither a folder"):
        open_source(name, {})


def test_a_tokenizer_is_for_single_files_and_is_checked(sd15: Whole, tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="--tokenizer is for a model in a single file"):
        open_source(str(sd15.folder), {}, tokenizer=sd15.tokenizer)
    with pytest.raises(SourceRefused, match=r"--tokenizer: tokenizer\.json, or vocab\.json with merges\.txt, is"):
        open_source(str(sd15.file), {}, tokenizer=tmp_path)
    own = shutil.copytree(sd15.tokenizer, tmp_path / "own")
    (own / "tokenizer_config.json").write_text("[")
    with pytest.raises(SourceRefused, match=r"--tokenizer: tokenizer_config\.json is not readable JSON"):
        open_source(str(sd15.file), {}, tokenizer=own)


def test_names_come_from_files_without_their_ending() -> None:
    assert default_name("./Some_Model.v1.safetensors") == "some_model-v1"
