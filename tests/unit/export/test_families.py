"""Sources of every family: which parts must fit one another, and in which words they do not."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from export.__main__ import app
from export.errors import Misfit, SourceRefused
from export.facts import facts_of
from export.families.table import FAMILIES
from export.source import DEMO_WEIGHTS, open_source
from families.facts import Concat
from tests.rigs.model_cards import facts

TOKENIZER = DEMO_WEIGHTS / "tokenizer"
CLIP = {"model_type": "clip_text_model", "num_hidden_layers": 3, "vocab_size": 708, "max_position_embeddings": 77}
VAE = {"_class_name": "AutoencoderKL", "block_out_channels": [8, 8, 8, 8], "scaling_factor": 0.13}
LEVELS = {"block_out_channels": [32, 32, 64], "layers_per_block": 2, "cross_attention_dim": 80}
VECTOR = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 40 + 6 * 8,
}
ATTENTION = {"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]}
SHAPE = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "axes_dims_rope": [4, 6, 6],
    "joint_attention_dim": 32,
    "pooled_projection_dim": 24,
    "num_single_layers": 2,
    "num_layers": 2,
    "in_channels": 64,
}
PARTS: Mapping[str, Mapping[str, Any]] = {
    "sdxl": {
        "model_index.json": {"_class_name": "StableDiffusionXLPipeline", "force_zeros_for_empty_prompt": True},
        "scheduler": {"_class_name": "EulerDiscreteScheduler"},
        "text_encoder": {**CLIP, "architectures": ["CLIPTextModel"], "hidden_size": 32},
        "text_encoder_2": {
            **CLIP,
            "architectures": ["CLIPTextModelWithProjection"],
            "hidden_size": 48,
            "projection_dim": 40,
        },
        "unet": {"_class_name": "UNet2DConditionModel", "sample_size": 128, **LEVELS, **VECTOR, **ATTENTION},
        "vae": VAE,
        "controlnet-canny": {"_class_name": "ControlNetModel", **LEVELS, **VECTOR, **ATTENTION},
        "controlnet-union": {"_class_name": "ControlNetUnionModel", **LEVELS, **VECTOR, **ATTENTION},
    },
    "flux": {
        "model_index.json": {"_class_name": "FluxPipeline"},
        "scheduler": {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True},
        "text_encoder": {**CLIP, "architectures": ["CLIPTextModel"], "hidden_size": 24},
        "text_encoder_2": {
            "architectures": ["T5EncoderModel"],
            "model_type": "t5",
            "d_model": 32,
            "num_layers": 2,
            "vocab_size": 300,
        },
        "transformer": {"_class_name": "FluxTransformer2DModel", **SHAPE, "guidance_embeds": True},
        "vae": {**VAE, "latent_channels": 16, "shift_factor": 0.1},
        "controlnet-union": {"_class_name": "FluxControlNetModel", **SHAPE, "num_mode": 7},
    },
}
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Folders with configurations and one-number weights: the checks read no further."""

    def made(family: str, changes: Mapping[str, Mapping[str, Any]]) -> Path:
        root = tmp_path / "model"
        for place, config in PARTS[family].items():
            config = {**config, **changes.get(place, {})}
            folder = root if place.endswith(".json") else root / place
            folder.mkdir(parents=True, exist_ok=True)
            file = {"scheduler": "scheduler_config.json"}.get(
                place, place if place.endswith(".json") else "config.json"
            )
            (folder / file).write_text(json.dumps(config))
            if file == "config.json":
                name = "model" if place.startswith("text") else "diffusion_pytorch_model"
                save_file({"x": np.zeros(1, np.float32)}, folder / f"{name}.safetensors")
        shutil.copytree(TOKENIZER, root / "tokenizer")
        if family == "sdxl":
            shutil.copytree(TOKENIZER, root / "tokenizer_2")
        else:
            pieces = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["▁a", -1.0]]
            (root / "tokenizer_2").mkdir()
            whole = {"model": {"type": "Unigram", "vocab": pieces}, "added_tokens": []}
            (root / "tokenizer_2" / "tokenizer.json").write_text(json.dumps(whole))
            (root / "tokenizer_2" / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512}))
        return root

    return made


def test_an_sdxl_model_says_what_its_graphs_read(make: Make) -> None:
    found = facts_of(open_source(str(make("sdxl", {})), {}), "xl")
    assert (found.family, found.native_size, found.text_width, found.zero_negative) == ("sdxl", 1024, 80, True)
    assert found.vector is not None and (found.vector.width, found.vector.sizes) == (46, True)
    assert [encoder.tokenizer for encoder in found.encoders] == ["tokenizer.json", "tokenizer_2.json"]
    assert [encoder.layers for encoder in found.encoders] == [2, 2]
    assert len(found.residuals) == 9 + 1 and found.concat is None
    # What has a net of its own goes there, the rest to the union.
    assert found.net_of("canny").name == "canny" and found.net_of("lineart").kinds["lineart"] == 3
    assert found.net_of("openpose").name == "union" and "inpaint" not in found.controls


def test_a_flux_model_says_what_its_graphs_read(make: Make) -> None:
    found = facts_of(open_source(str(make("flux", {})), {}), "fx")
    assert (found.family, found.patch, found.distilled, found.latent_channels) == ("flux", 2, True, 16)
    assert (found.text_tokens, found.text_width) == (512, 32)
    assert [(encoder.bos is None, encoder.width) for encoder in found.encoders] == [(False, 0), (True, 32)]
    assert found.controls == ("blur", "canny", "depth", "gray", "low_quality", "openpose", "tile")
    assert found.residuals == (("depth", "patches", 32),) * 2


def test_a_model_without_guidance_reads_half_as_many_words(make: Make) -> None:
    root = make("flux", {"transformer": {"guidance_embeds": False}})
    found = facts_of(open_source(str(root), {}), "fx")
    assert (found.distilled, found.text_tokens) == (False, 256)


@pytest.mark.parametrize(
    ("family", "place", "settings", "said"),
    [
        (
            "sdxl",
            "unet",
            {"cross_attention_dim": 2048},
            "text encoders are 32 and 48 wide but the UNet expects 2048",
        ),
        ("sdxl", "text_encoder_2", {"projection_dim": 41}, "text_encoder_2 and sizes give 89 channels"),
        ("sdxl", "unet", {"in_channels": 8}, "in_channels=8 is not SDXL-shaped"),
        ("sdxl", "controlnet-canny", {"in_channels": 9}, "controlnet canny: in_channels=9 is not SDXL-shaped"),
        ("sdxl", "unet", {"addition_embed_type": None}, "addition_embed_type=None"),
        ("sdxl", "text_encoder_2", {"architectures": ["CLIPTextModel"]}, "text_encoder_2: config.json names"),
        ("sdxl", "controlnet-canny", {"block_out_channels": [32, 64, 64]}, "controlnet canny: block_out_channels"),
        ("sdxl", "controlnet-canny", {"cross_attention_dim": 81}, "controlnet canny: cross_attention_dim is 81"),
        ("sdxl", "controlnet-union", {"num_control_type": 9}, "num_control_type=9"),
        ("sdxl", "vae", {"latent_channels": 16}, "latent_channels=16"),
        ("sdxl", "model_index.json", {"_class_name": "StableDiffusionXLInstructPix2PixPipeline"}, "InstructPix2Pix"),
        (
            "flux",
            "transformer",
            {"joint_attention_dim": 33},
            "text_encoder_2 is 32 wide but the transformer expects 33",
        ),
        (
            "flux",
            "transformer",
            {"pooled_projection_dim": 25},
            "text_encoder is 24 wide but the transformer expects 25",
        ),
        (
            "flux",
            "transformer",
            {"in_channels": 128, "out_channels": 64},
            "add --control-kind, which is canny for FLUX",
        ),
        (
            "flux",
            "transformer",
            {"in_channels": 96, "out_channels": 64},
            "reads 96 channels and makes 64: expected are 64, 128 with a control picture (Control) or 384 with",
        ),
        ("flux", "vae", {"latent_channels": 4}, "the VAE has 4 latent channels but the transformer makes 16"),
        ("flux", "scheduler", {"_class_name": "EulerDiscreteScheduler"}, "scheduler: class 'EulerDiscreteScheduler'"),
        (
            "flux",
            "controlnet-union",
            {"attention_head_dim": 8},
            "width is 16 but the transformer has 32",
        ),
        ("flux", "controlnet-union", {"num_mode": 8}, "num_mode=8"),
        ("flux", "controlnet-union", {"conditioning_embedding_channels": 16}, "conditioning_embedding_channels=16"),
        ("flux", "text_encoder_2", {"vocab_size": 3}, "tokenizer_2 and its text encoder do not match"),
    ],
)
def test_what_does_not_fit_is_named(make: Make, family: str, place: str, settings: dict[str, Any], said: str) -> None:
    root = make(family, {place: settings})
    with pytest.raises(SourceRefused) as caught:
        facts_of(open_source(str(root), {}), "x")
    assert said in str(caught.value)
    assert str(root.parent) not in str(caught.value)


def test_a_unet_of_nine_channels_reads_a_mask_and_a_masked_picture(make: Make) -> None:
    root = make("sdxl", {"unet": {"in_channels": 9}})
    found = facts_of(open_source(str(root), {}), "x")
    assert (found.concat, found.repaints, found.concat_channels) == (Concat(mask="cells"), True, 5)


def test_a_flux_that_fills_reads_the_pixels_of_the_mask(make: Make) -> None:
    root = make("flux", {"transformer": {"in_channels": 384, "out_channels": 64}})
    found = facts_of(open_source(str(root), {}), "x")
    assert (found.concat, found.repaints, found.concat_channels) == (Concat(mask="blocks"), True, 80)


def test_a_flux_with_a_control_picture_is_told_of_which_kind(make: Make, tmp_path: Path) -> None:
    root = make("flux", {"transformer": {"in_channels": 128, "out_channels": 64}})
    union = shutil.move(root / "controlnet-union", tmp_path / "union")
    found = facts_of(open_source(str(root), {}, control="canny"), "x")
    assert (found.concat, found.repaints, found.concat_channels) == (Concat(control="canny"), False, 16)
    assert (found.controls, found.own_control, found.nets) == (("canny",), "canny", ())
    with pytest.raises(SourceRefused, match="the model reads hints of 'canny' itself: leave out its ControlNet"):
        facts_of(open_source(str(root), {"union": str(union)}, control="canny"), "x")


def test_the_command_takes_the_kind(make: Make, tmp_path: Path) -> None:
    root = make("flux", {"transformer": {"in_channels": 128, "out_channels": 64}})
    shutil.rmtree(root / "controlnet-union")
    repository = tmp_path / "repository"
    arguments = [str(root), "--name=fx", "--configs-only", f"--repository={repository}"]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 3 and "add --control-kind" in refused.output and not repository.exists()
    assert CliRunner().invoke(app, [*arguments, "--control-kind=depth"]).exit_code == 0
    assert '"concat"' in (repository / "fx_unet" / "config.pbtxt").read_text()
    assert '"concat"' in (repository / "fx_denoise" / "config.pbtxt").read_text()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("canny", "--control-kind is for a model that reads a control picture beside the latents"),
        ("a__b", "--control-kind: 'a__b' is not a kind of control"),
        ("inpaint", "--control-kind: hints of 'inpaint' have a mask"),
    ],
)
def test_a_kind_for_a_model_that_reads_none_is_refused(make: Make, kind: str, said: str) -> None:
    with pytest.raises(SourceRefused, match=said):
        facts_of(open_source(str(make("flux", {})), {}, control=kind), "x")


@pytest.mark.parametrize("missing", ["text_encoder_2", "tokenizer_2", "unet", "transformer"])
def test_a_missing_part_is_named(make: Make, missing: str) -> None:
    family = "flux" if missing == "transformer" else "sdxl"
    root = make(family, {})
    shutil.rmtree(root / missing)
    with pytest.raises(SourceRefused, match=f"^{missing}: "):
        open_source(str(root), {})


def test_a_t5_tokenizer_in_sentencepiece_alone_says_what_is_needed(make: Make) -> None:
    root = make("flux", {})
    (root / "tokenizer_2" / "tokenizer.json").unlink()
    with pytest.raises(SourceRefused, match=r"tokenizer_2: tokenizer\.json"):
        facts_of(open_source(str(root), {}), "x")


def test_a_controlnet_of_another_family_does_not_fit_an_exported_model() -> None:
    sd15 = facts()
    with pytest.raises(Misfit, match="belongs to another family of models than 'small'"):
        FAMILIES["sd15"].check_fit({**LEVELS}, sd15, "canny")
    flux = facts(family="flux", residuals=(("depth", "patches", 3072),) * 2)
    with pytest.raises(Misfit, match="it is 32 wide"):
        FAMILIES["flux"].check_fit(SHAPE, flux, "union")
