"""A FLUX transformer in one file, with its other parts beside it: names, configurations, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers
from safetensors.torch import load_file
from transformers import CLIPTextModel, T5EncoderModel

from export.errors import SourceRefused
from export.parts import Source
from export.single_files import flux
from export.source import open_source
from tests.rigs import tiny_flux, trained_names
from tests.rigs.tiny_whole import require_the_same

WIDTH = 3072
"""The only one that diffusers' converter knows."""
LAYERS = {
    "img_in": WIDTH,
    "txt_in": WIDTH,
    **{f"{part}_in.{layer}_layer": WIDTH for part in ("time", "vector", "guidance") for layer in ("in", "out")},
    "final_layer.linear": 64,
    "final_layer.adaLN_modulation.1": 2 * WIDTH,
    **{
        f"double_blocks.0.{side}_{layer}": rows * WIDTH
        for side in ("img", "txt")
        for layer, rows in (("mod.lin", 6), ("attn.qkv", 3), ("attn.proj", 1), ("mlp.0", 4), ("mlp.2", 1))
    },
    "single_blocks.0.linear1": 7 * WIDTH,
    "single_blocks.0.linear2": WIDTH,
    "single_blocks.0.modulation.lin": 3 * WIDTH,
}
SCALES = [
    f"{place}norm.{what}_norm.scale"
    for place in ("double_blocks.0.img_attn.", "double_blocks.0.txt_attn.", "single_blocks.0.")
    for what in ("query", "key")
]


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_tensors_are_named_and_split_as_by_diffusers(prefix: str) -> None:
    draw = torch.Generator().manual_seed(1)
    # Two columns: only rows are split.
    trained = {f"{name}.weight": torch.randn(rows, 2, generator=draw) for name, rows in LAYERS.items()}
    trained |= {f"{name}.bias": torch.randn(rows, generator=draw) for name, rows in LAYERS.items()}
    trained |= {name: torch.randn(128, generator=draw) for name in SCALES}
    found = flux.renamed({prefix + name: tensor for name, tensor in trained.items()}, prefix)
    expected = convert_flux_transformer_checkpoint_to_diffusers(dict(trained))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.fixture(scope="module", params=[True, False], ids=["dev", "schnell"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in a folder, and beside it the files of its parts."""
    folder = tmp_path_factory.mktemp("flux")
    made = tiny_flux.make(folder / "model", guidance=request.param, depth=(0, 0), published=True)
    transformer = FluxTransformer2DModel.from_pretrained(made / "transformer")
    trained_names.write(trained_names.flux(transformer), folder / "flux.safetensors")
    clip = CLIPTextModel.from_pretrained(made / "text_encoder").state_dict()
    trained_names.write(trained_names.clip(clip, ""), folder / "clip_l.safetensors")
    t5 = T5EncoderModel.from_pretrained(made / "text_encoder_2").state_dict()
    t5.pop("encoder.embed_tokens.weight", None)
    trained_names.write(t5, folder / "t5xxl.safetensors")
    autoencoder = AutoencoderKL.from_pretrained(made / "vae")
    trained_names.write(trained_names.autoencoder(autoencoder), folder / "ae.safetensors")
    return folder


def places(model: Path, files: bool) -> dict[str, str]:
    """The parts beside the transformer's file, as files or as folders."""
    words = {"tokenizer_2": str(model / "model" / "tokenizer_2")}
    if not files:
        return words | {name: str(model / "model" / name) for name in ("text_encoder", "text_encoder_2", "vae")}
    named = {"text_encoder": "clip_l", "text_encoder_2": "t5xxl", "vae": "ae"}
    return words | {name: str(model / f"{file}.safetensors") for name, file in named.items()}


def opened(model: Path, beside: dict[str, str], file: str = "flux.safetensors", **more: Any) -> Source:
    tokenizer = model / "model" / "tokenizer"
    return open_source(str(model / file), {}, tokenizer=tokenizer, beside=beside, **more)


@pytest.mark.parametrize("files", [True, False])
def test_the_file_with_its_parts_is_the_folder_s_model(model: Path, files: bool) -> None:
    found, folder = opened(model, places(model, files)), open_source(str(model / "model"), {})
    assert (found.family, found.label, found.root) == ("flux", "flux.safetensors", None)
    require_the_same(found, folder)


def test_what_is_missing_is_named(model: Path) -> None:
    whole = places(model, files=True)
    with pytest.raises(SourceRefused, match="missing are text_encoder, text_encoder_2, vae, tokenizer_2"):
        opened(model, {})
    for name in whole:
        with pytest.raises(SourceRefused, match=f"missing are {name}$"):
            opened(model, {key: place for key, place in whole.items() if key != name})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unet": "./x"}, "--part unet: './x' is neither a .safetensors file nor a folder"),
        ({"unet": "ae"}, "--part 'unet': a part that is named beside 'flux.safetensors' may be text_encoder, "),
        ({"vae": "t5xxl"}, "vae: tensor 'encoder.conv_in.weight' is missing from 't5xxl.safetensors'"),
        ({"text_encoder_2": "clip_l"}, "text_encoder_2: tensor 'shared.weight' is missing from 'clip_l.safetensors'"),
        ({"tokenizer_2": "clip_l"}, "--part tokenizer_2: tokenizer.json, or vocab.json with merges.txt, is missing"),
    ],
)
def test_another_part_is_refused(model: Path, change: dict[str, str], message: str) -> None:
    moved = {name: place if "/" in place else str(model / f"{place}.safetensors") for name, place in change.items()}
    with pytest.raises(SourceRefused) as refused:
        opened(model, places(model, files=True) | moved)
    assert message in str(refused.value)


def test_only_files_of_flux_have_parts_beside_them(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match="--part is for a model in a single file"):
        open_source(str(model / "model"), {}, beside=places(model, files=True))
    tensors = load_file(model / "flux.safetensors")
    net = trained_names.write({**tensors, "controlnet_blocks.0.weight": torch.zeros(1)}, tmp_path / "net.safetensors")
    with pytest.raises(SourceRefused, match="looks like a ControlNet of FLUX"):
        open_source(str(net), {})
    lora = {"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": torch.zeros(1)}
    with pytest.raises(SourceRefused, match="looks like a LoRA"):
        open_source(str(trained_names.write(lora, tmp_path / "lora.safetensors")), {})
