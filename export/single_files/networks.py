"""Configurations of UNets and ControlNets from the shapes of their tensors, in both layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from export.errors import SourceRefused
from export.single_files.header import Section

HEAD_WIDTH = 64
"""Channels of an attention head in SDXL's networks."""
HINT_LAYERS = (0, 4, 8, 12)
"""Layers of the trained layout's `input_hint_block` whose outputs have the widths of diffusers' hint embedding."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One residual block: its output channels, and the transformer layers of the attention behind it (0: none)."""

    channels: int
    depth: int


@dataclass(frozen=True, slots=True)
class Half:
    """The half of a network that goes down: the layers of each resolution, and the transformer layers in the middle
    (0: no attention there)."""

    levels: Sequence[Sequence[Layer]]
    middle: int


def trained(section: Section) -> Half:
    """Of a network in the layout of its training code: `input_blocks`, `middle_block`. Raises SourceRefused."""
    levels: list[list[Layer]] = [[]]
    for number in range(1, section.count("input_blocks")):
        if section.has(f"input_blocks.{number}.0.op.weight"):
            levels.append([])
        else:
            depth = section.count(f"input_blocks.{number}.1.transformer_blocks")
            levels[-1].append(Layer(section.width(f"input_blocks.{number}.0.out_layers.3.weight"), depth))
    return Half(levels, section.count("middle_block.1.transformer_blocks"))


def converted(section: Section) -> Half:
    """Of a network in diffusers' layout: `down_blocks`, `mid_block`. Raises SourceRefused."""
    levels = [
        [
            Layer(
                section.width(f"down_blocks.{level}.resnets.{layer}.conv1.weight"),
                section.count(f"down_blocks.{level}.attentions.{layer}.transformer_blocks"),
            )
            for layer in range(section.count(f"down_blocks.{level}.resnets"))
        ]
        for level in range(section.count("down_blocks"))
    ]
    return Half(levels, section.count("mid_block.attentions.0.transformer_blocks"))


def configuration(
    section: Section, half: Half, published: Mapping[str, Any], in_layout: Mapping[str, str]
) -> dict[str, Any]:
    """What UNet and ControlNet have in common.

    Args:
        section: the network's tensors.
        half: of these tensors.
        published: settings that no shape tells; without heads, these are HEAD_WIDTH channels wide.
        in_layout: names of `input` (the first convolution), `vector` (the first layer that reads it) and `attention`
            (of the middle's first transformer layer), as the layout has them.

    Raises SourceRefused for a network whose resolutions diffusers can't describe.
    """
    layers = {len(level) for level in half.levels}
    uneven = any(len(set(level)) != 1 for level in half.levels)
    if len(layers) != 1 or uneven:
        found = [[(layer.channels, layer.depth) for layer in level] for level in half.levels][:8]
        raise SourceRefused(
            f"{section.what}: its resolutions have layers of (channels, transformer layers) {found}, but every layer "
            "of a resolution must be like the others, and every resolution must have as many"
        )
    widths = [level[0].channels for level in half.levels]
    depths = [level[0].depth for level in half.levels]
    made = {
        **published,
        "in_channels": section.shape(in_layout["input"], 4)[1],
        "block_out_channels": widths,
        "layers_per_block": layers.pop(),
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "mid_block_type": "UNetMidBlock2DCrossAttn" if half.middle else "UNetMidBlock2D",
        # Without attention of its own, the last resolution's number is the middle's.
        "transformer_layers_per_block": [*(depth or 1 for depth in depths[:-1]), depths[-1] or half.middle or 1],
    }
    if half.middle:
        transformer = in_layout["attention"]
        made["cross_attention_dim"] = section.shape(f"{transformer}.transformer_blocks.0.attn2.to_k.weight", 2)[1]
        made["use_linear_projection"] = not _is_convolution(section, f"{transformer}.proj_in.weight")
    if section.has(in_layout["vector"]):
        made["addition_embed_type"] = "text_time"
        made["projection_class_embeddings_input_dim"] = section.shape(in_layout["vector"], 2)[1]
    if "attention_head_dim" not in made:
        made["attention_head_dim"] = _heads(section, widths, depths)
    return made


def _is_convolution(section: Section, name: str) -> bool:
    return len(section.header.shapes.get(section.prefix + name, ())) == 4


def _heads(section: Section, widths: Sequence[int], depths: Sequence[int]) -> list[int]:
    for width, depth in zip(widths, depths, strict=True):
        if depth and width % HEAD_WIDTH:
            raise SourceRefused(
                f"{section.what}: a resolution with attention has {width} channels, but SDXL's heads take {HEAD_WIDTH} "
                "channels each, so that a multiple of them would fit"
            )
    return [max(width // HEAD_WIDTH, 1) for width in widths]


_TRAINED = {
    "input": "input_blocks.0.0.weight",
    "vector": "label_emb.0.0.weight",
    "attention": "middle_block.1",
}
_CONVERTED = {
    "input": "conv_in.weight",
    "vector": "add_embedding.linear_1.weight",
    "attention": "mid_block.attentions.0",
}


def unet(section: Section, published: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a UNet in its training code's layout. Raises SourceRefused."""
    made = configuration(section, trained(section), published, _TRAINED)
    down = made["down_block_types"]
    return {
        "_class_name": "UNet2DConditionModel",
        **made,
        "out_channels": section.shape("out.2.weight", 4)[0],
        "up_block_types": [kind.replace("DownBlock", "UpBlock") for kind in reversed(down)],
    }


def controlnet(section: Section, published: Mapping[str, Any], union: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a ControlNet, or of a union, in either layout.

    Args:
        section: its tensors.
        published: settings of the family's networks that no shape tells.
        union: the same of unions alone.

    Raises SourceRefused.
    """
    if section.has(_TRAINED["input"]):
        hint = [section.shape(f"input_hint_block.{layer}.weight", 4) for layer in HINT_LAYERS]
        made = configuration(section, trained(section), published, _TRAINED)
        widths = [shape[0] for shape in hint]
    else:
        embedding = "controlnet_cond_embedding"
        blocks = section.count(f"{embedding}.blocks")
        hint = [section.shape(f"{embedding}.conv_in.weight", 4)]
        hint += [section.shape(f"{embedding}.blocks.{block}.weight", 4) for block in range(1, blocks, 2)]
        made = configuration(section, converted(section), published, _CONVERTED)
        widths = [shape[0] for shape in hint]
    made = {**made, "conditioning_channels": hint[0][1], "conditioning_embedding_out_channels": widths}
    # One without attention reads no text; diffusers still asks for a width.
    made.setdefault("cross_attention_dim", 1)
    if not section.has("task_embedding"):
        return {"_class_name": "ControlNetModel", **made}
    kinds, channels = section.shape("task_embedding", 2)
    return {
        "_class_name": "ControlNetUnionModel",
        **made,
        **union,
        "num_control_type": kinds,
        "num_trans_channel": channels,
        "num_trans_layer": section.count("transformer_layes"),
        "num_proj_channel": section.shape("spatial_ch_projs.weight", 2)[0],
    }
