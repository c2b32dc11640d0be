"""Single files are loaded as their folders are, or refused for the first tensor that does not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from export import hollow
from export.errors import SourceRefused
from export.families.table import FAMILIES
from export.source import open_source
from tests.rigs import trained_names
from tests.rigs.tiny_whole import Whole


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_every_tensor_is_the_folder_s(request: pytest.FixtureRequest, family: str) -> None:
    whole: Whole = request.getfixturevalue(family)
    file = FAMILIES[family].load(open_source(str(whole.file), whole.nets, tokenizer=whole.tokenizer)).named()
    folder = FAMILIES[family].load(open_source(str(whole.folder), {})).named()
    assert file.keys() == folder.keys() and len(file) == {"sd15": 4, "sdxl": 7}[family]
    for name, module in folder.items():
        with hollow.filled(module, file[name]):
            theirs, ours = module.state_dict(), file[name].state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], tensor) for key, tensor in theirs.items()), name
        assert not file[name].training and not any(weight.requires_grad for weight in file[name].parameters())
        assert {one.device.type for one in (*file[name].parameters(), *file[name].buffers())} == {"cpu"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_files_of_less_precision_are_read(sd15: Whole, tmp_path: Path, dtype: torch.dtype) -> None:
    rounded = {name: one.to(dtype) for name, one in load_file(sd15.file).items() if one.is_floating_point()}
    file = trained_names.write(rounded, tmp_path / "small.safetensors")
    unet = FAMILIES["sd15"].load(open_source(str(file), {}, tokenizer=sd15.tokenizer)).parts["unet"]
    expected = rounded["model.diffusion_model.out.2.weight"].float()
    with hollow.filled(unet):
        assert unet.conv_out.weight.dtype == torch.float32 and torch.equal(unet.conv_out.weight, expected)


def test_the_oldest_names_of_the_text_encoder_are_read(sd15: Whole, tmp_path: Path) -> None:
    renamed = {name.replace(".text_model.", "."): one for name, one in load_file(sd15.file).items()}
    file = trained_names.write(renamed, tmp_path / "old.safetensors")
    words = FAMILIES["sd15"].load(open_source(str(file), {}, tokenizer=sd15.tokenizer)).parts["text_encoder"]
    expected = renamed["cond_stage_model.transformer.final_layer_norm.weight"]
    with hollow.filled(words):
        assert torch.equal(words.final_layer_norm.weight, expected)


def test_the_nine_channels_of_a_model_for_inpainting_are_read(sd15: Whole, tmp_path: Path) -> None:
    first = torch.randn(32, 9, 3, 3)
    tensors = load_file(sd15.file) | {"model.diffusion_model.input_blocks.0.0.weight": first}
    file = trained_names.write(tensors, tmp_path / "inpainting.safetensors")
    unet = FAMILIES["sd15"].load(open_source(str(file), {}, tokenizer=sd15.tokenizer)).parts["unet"]
    with hollow.filled(unet):
        assert unet.config.in_channels == 9 and torch.equal(unet.conv_in.weight, first)


Tensors = dict[str, Any]
OUTPUT = "model.diffusion_model.output_blocks.3.0."


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: one for key, one in tensors.items() if key != name}


def having(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Callable[[Tensors], Tensors]:
    return lambda tensors: tensors | {name: torch.zeros(shape, dtype=dtype)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            without(f"{OUTPUT}in_layers.0.bias"),
            "unet: mine.safetensors lacks the tensor 'up_blocks.1.resnets.0.norm1.bias'",
        ),
        (
            without("first_stage_model.decoder.mid.attn_1.q.weight"),
            "vae: mine.safetensors lacks the tensor 'decoder.mid_block.attentions.0.to_q.weight'",
        ),
        (
            without("cond_stage_model.transformer.text_model.encoder.layers.1.mlp.fc2.bias"),
            "text_encoder: mine.safetensors lacks the tensor 'encoder.layers.1.mlp.fc2.bias'",
        ),
        (
            having(f"{OUTPUT}out_layers.3.bias", (65,)),
            "unet: tensor 'up_blocks.1.resnets.0.conv2.bias' (diffusers' name) of mine.safetensors is [65]; [64] would",
        ),
        (
            having("first_stage_model.decoder.up.0.block.0.conv1.bias", (7,)),
            "vae: tensor 'decoder.up_blocks.3.resnets.0.conv1.bias' (diffusers' name) of mine.safetensors is [7]; [32]",
        ),
        (having(f"{OUTPUT}extra.weight", (1,)), "unet: mine.safetensors has the tensor"),
        (having("model.diffusion_model.extra.weight", (1,)), "tensors of it, of which"),
        (having("first_stage_model.encoder.down.0.attn.0.q.weight", (1,)), "vae: mine.safetensors has the tensor"),
        (
            having(f"{OUTPUT}out_layers.3.bias", (64,), torch.int8),
            "unet: mine.safetensors has the tensor 'model.diffusion_model.output_blocks.3.0.out_layers.3.bias' of type "
            "I8: quantized weights are not read",
        ),
    ],
)
def test_every_tensor_is_checked(sd15: Whole, tmp_path: Path, change: Callable[[Tensors], Tensors], said: str) -> None:
    file = trained_names.write(change(load_file(sd15.file)), tmp_path / "mine.safetensors")
    source = open_source(str(file), {}, tokenizer=sd15.tokenizer)
    with pytest.raises(SourceRefused) as raised:
        FAMILIES["sd15"].load(source)
    assert said in str(raised.value) and str(tmp_path) not in str(raised.value)


def test_a_controlnet_s_tensors_are_checked_in_both_layouts(sd15: Whole, tmp_path: Path) -> None:
    trained = load_file(sd15.canny)
    converted = load_file(sd15.folder / "controlnet-canny" / "diffusion_pytorch_model.safetensors")
    for tensors, name in (
        (trained, "control_model.zero_convs.3.0.bias"),
        (converted, "controlnet_down_blocks.3.bias"),
        (trained, "control_model.input_hint_block.6.bias"),
    ):
        file = trained_names.write(without(name)(tensors), tmp_path / "canny.safetensors")
        source = open_source(str(sd15.file), {"canny": str(file)}, tokenizer=sd15.tokenizer)
        with pytest.raises(SourceRefused, match=r"controlnet canny: canny\.safetensors lacks the tensor"):
            FAMILIES["sd15"].load(source)
