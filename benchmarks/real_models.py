"""Models of real size with random weights, in half precision and in shards, as the hub has them."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors.torch import save_file

from export.single_files import published, words

SHARD = 1 << 30
"""Bytes of a shard, about."""

UNET_15 = {
    "block_out_channels": [320, 640, 1280, 1280],
    "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
UNET_XL = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", *["CrossAttnDownBlock2D"] * 2],
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
# Beside SDXL's UNet alone.
SMALL_VAE = VAE | {"block_out_channels": [32, 32, 32, 32], "layers_per_block": 1, "norm_num_groups": 8}
CLIP = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
}
SMALL_CLIP = CLIP | {"intermediate_size": 768, "num_hidden_layers": 2}


def _ups(unet: Mapping[str, Any]) -> dict[str, Any]:
    down = unet["down_block_types"]
    return {**unet, "up_block_types": [kind.replace("DownBlock", "UpBlock") for kind in reversed(down)]}


def sd15(folder: Path) -> int:
    """Stable Diffusion 1.5 with one ControlNet; returns the number of its parameters."""
    _around(folder, "sd15", {"tokenizer": None})
    control = {"conditioning_embedding_out_channels": [16, 32, 96, 256]}
    return (
        _clip(folder / "text_encoder", transformers.CLIPTextModel, CLIP)
        + _network(folder / "unet", diffusers.UNet2DConditionModel, _ups(UNET_15) | {"sample_size": 64})
        + _network(folder / "controlnet-canny", diffusers.ControlNetModel, UNET_15 | control)
        + _network(folder / "vae", diffusers.AutoencoderKL, VAE | {"scaling_factor": 0.18215})
    )


def sdxl_unet(folder: Path) -> int:
    """SDXL's UNet, between text encoders and a VAE that are small; returns the number of the UNet's parameters."""
    _around(folder, "sdxl", {"tokenizer": None, "tokenizer_2": "!"})
    _clip(folder / "text_encoder", transformers.CLIPTextModel, SMALL_CLIP)
    wider = SMALL_CLIP | {"hidden_size": 1280, "num_attention_heads": 20, "projection_dim": 1280, "hidden_act": "gelu"}
    _clip(folder / "text_encoder_2", transformers.CLIPTextModelWithProjection, wider)
    _network(folder / "vae", diffusers.AutoencoderKL, SMALL_VAE | {"scaling_factor": 0.13025})
    return _network(folder / "unet", diffusers.UNet2DConditionModel, _ups(UNET_XL) | {"sample_size": 128})


def _around(folder: Path, family: str, pads: Mapping[str, str | None]) -> None:
    """What has no weights: model_index.json, the scheduler, CLIP's own words."""
    facts = published.of(family)
    (folder / "scheduler").mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps(facts["index"]))
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(facts["scheduler"]))
    tokenizers, scratch = words.folders(pads, None)
    for name, made in tokenizers.items():
        shutil.copytree(made, folder / name)
    del scratch


def _network(folder: Path, cls: Any, settings: Mapping[str, Any]) -> int:
    with torch.device("meta"):
        model = cls(**settings)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"_class_name": cls.__name__, **settings}))
    return _weights(folder, "diffusion_pytorch_model", model.state_dict())


def _clip(folder: Path, cls: Any, settings: Mapping[str, Any]) -> int:
    with torch.device("meta"):
        model = cls(transformers.CLIPTextConfig(**settings))
    folder.mkdir()
    kept = {"architectures": [cls.__name__], "model_type": "clip_text_model", **settings}
    (folder / "config.json").write_text(json.dumps(kept))
    return _weights(folder, "model", model.state_dict())


def _weights(folder: Path, stem: str, shapes: Mapping[str, Any]) -> int:
    """Write random weights of these shapes in shards with their index; a shard at a time is in memory."""
    groups: list[list[str]] = [[]]
    held = 0
    for name, weight in shapes.items():
        if held > SHARD:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += 2 * weight.numel()
    generator = torch.Generator().manual_seed(0)
    placed = {}
    for number, group in enumerate(groups, 1):
        shard = f"{stem}-{number:05}-of-{len(groups):05}.safetensors"
        save_file({name: _random(name, shapes[name].shape, generator) for name in group}, folder / shard)
        placed |= dict.fromkeys(group, shard)
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))
    return sum(weight.numel() for weight in shapes.values())


def _random(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """As layers begin, whose outputs keep their inputs' spread: weights by their inputs, norms near one."""
    drawn = torch.randn(shape, generator=generator)
    if len(shape) < 2:
        return ((1.0 if name.endswith("weight") else 0.0) + 0.02 * drawn).half()
    return (drawn / math.sqrt(math.prod(shape[1:]))).half()


MODELS: Mapping[str, Callable[[Path], int]] = {"sd15": sd15, "sdxl-unet": sdxl_unet}
