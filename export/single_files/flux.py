"""A FLUX transformer in the layout of its training code: its configuration, and its tensors under diffusers' names.

Source: black-forest-labs' flux/model.py and modules/layers.py; diffusers' FluxTransformer2DModel. diffusers' own
converter knows one width alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from export.errors import SourceRefused
from export.hostile import shown
from export.single_files.header import Section

HEAD_WIDTH = 128
"""Channels of an attention head in every FLUX transformer that was published."""
_EMBEDDERS = {
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "txt_in": "context_embedder",
    "img_in": "x_embedder",
    "final_layer.linear": "proj_out",
}
_DOUBLE = {
    "img_mod.lin": "norm1.linear",
    "txt_mod.lin": "norm1_context.linear",
    "img_attn.norm.query_norm": "attn.norm_q",
    "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q",
    "txt_attn.norm.key_norm": "attn.norm_added_k",
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_mlp.0": "ff.net.0.proj",
    "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj",
    "txt_mlp.2": "ff_context.net.2",
}
_SINGLE = {
    "modulation.lin": "norm.linear",
    "norm.query_norm": "attn.norm_q",
    "norm.key_norm": "attn.norm_k",
    "linear2": "proj_out",
}
_BLOCKS = {"double_blocks": ("transformer_blocks", _DOUBLE), "single_blocks": ("single_transformer_blocks", _SINGLE)}
# Layers that are one here and several there, in their order, with the rows of each over the network's width.
_JOINED = {
    "img_attn.qkv": {"attn.to_q": 1, "attn.to_k": 1, "attn.to_v": 1},
    "txt_attn.qkv": {"attn.add_q_proj": 1, "attn.add_k_proj": 1, "attn.add_v_proj": 1},
    "linear1": {"attn.to_q": 1, "attn.to_k": 1, "attn.to_v": 1, "proj_mlp": 4},
}
# Its halves are the shift and the scale; diffusers has the scale first.
_LAST_NORM, _LAST_NORM_THERE = "final_layer.adaLN_modulation.1", "norm_out.linear"
_BLOCK = re.compile(r"(double_blocks|single_blocks)\.(\d+)\.(.+)\.(weight|bias|scale)")


def transformer(section: Section, published: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a FluxTransformer2DModel from the shapes of its tensors. Raises SourceRefused."""
    width, channels = section.shape("img_in.weight", 2)
    if width % HEAD_WIDTH:
        raise SourceRefused(
            f"{section.what}: it is {width} channels wide, but FLUX's heads take {HEAD_WIDTH} channels each, so that a "
            "multiple of them would fit"
        )
    return {
        "_class_name": "FluxTransformer2DModel",
        **published,
        "in_channels": channels,
        "out_channels": section.shape("final_layer.linear.weight", 2)[0],
        "num_layers": section.count("double_blocks"),
        "num_single_layers": section.count("single_blocks"),
        "num_attention_heads": width // HEAD_WIDTH,
        "attention_head_dim": HEAD_WIDTH,
        "joint_attention_dim": section.shape("txt_in.weight", 2)[1],
        "pooled_projection_dim": section.shape("vector_in.in_layer.weight", 2)[1],
        "guidance_embeds": section.has("guidance_in.in_layer.weight"),
    }


def renamed(found: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Tensors under diffusers' names; what is no tensor of such a network keeps its own.

    Raises SourceRefused for a tensor that can't be split as its layer is.
    """
    made: dict[str, Any] = {}
    for name, tensor in found.items():
        made.update(_placed(name.removeprefix(prefix), tensor))
    return made


def _placed(name: str, tensor: Any) -> dict[str, Any]:
    layer, _, leaf = name.rpartition(".")
    if layer in _EMBEDDERS:
        return {f"{_EMBEDDERS[layer]}.{leaf}": tensor}
    if layer == _LAST_NORM:
        _require(name, tensor, tensor.shape[0] % 2 == 0)
        return {f"{_LAST_NORM_THERE}.{leaf}": tensor.roll(tensor.shape[0] // 2, 0)}
    block = _BLOCK.fullmatch(name)
    if block is None:
        return {name: tensor}
    there, layers = _BLOCKS[block[1]]
    start, layer, leaf = f"{there}.{block[2]}", block[3], "weight" if block[4] == "scale" else block[4]
    if layer in layers:
        return {f"{start}.{layers[layer]}.{leaf}": tensor}
    if layer not in _JOINED:
        return {name: tensor}
    parts = _JOINED[layer]
    width, rest = divmod(tensor.shape[0], sum(parts.values()))
    _require(name, tensor, rest == 0)
    pieces = tensor.split([width * rows for rows in parts.values()])
    return {f"{start}.{part}.{leaf}": piece for part, piece in zip(parts, pieces, strict=True)}


def _require(name: str, tensor: Any, fits: bool) -> None:
    if not fits:
        raise SourceRefused(f"transformer: tensor {shown(name)} of {tensor.shape[0]} rows can't be split as FLUX's is")
