"""The half that a UNet and its ControlNets share: time embedding, down blocks, mid block.

Where the negative and the positive row differ in nothing but their text, everything before the first cross-attention
is computed once a request and widened to its rows only there. diffusers computes it once a row; the numbers are the
same. Where a model also reads a vector of the whole text (SDXL), rows differ from the first block on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from export.graphs import rows
from families.facts import SIZE_NUMBERS


def reads_vector(model: Any) -> bool:
    """Whether a UNet or ControlNet adds an embedding of the whole text and of sizes to the timestep's."""
    return bool(model.config.addition_embed_type == "text_time")


def embedding(model: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """The embedding of timestep and whatever else is added to it: [B, 4 * C_0], alike for all rows of a request, or
    [B*R, 4 * C_0] for a model that `reads_vector`.

    inputs: timestep FP32 [B, 1]; distilled FP32 [B, 1] for one whose guidance is an input (LCM: Luo et al. 2023);
    vector FP32 [B, R, P + SIZE_NUMBERS].
    """
    condition = None
    if model.config.get("time_cond_proj_dim"):
        condition = guidance_embedding(inputs["distilled"].reshape(-1) - 1, model.config.time_cond_proj_dim)
    embedded: Tensor = model.time_embedding(model.time_proj(inputs["timestep"].reshape(-1)), condition)
    if not reads_vector(model):
        return embedded
    vector = rows.merge(inputs["vector"])
    pooled, sizes = vector[:, :-SIZE_NUMBERS], vector[:, -SIZE_NUMBERS:]
    sizes = model.add_time_proj(sizes.reshape(-1)).reshape(-1, SIZE_NUMBERS * model.config.addition_time_embed_dim)
    added: Tensor = model.add_embedding(torch.cat([pooled, sizes], dim=-1))
    return rows.repeat(embedded, inputs["vector"].shape[1]) + added


def guidance_embedding(scale: Tensor, width: int) -> Tensor:
    """Sinusoids of a guidance scale less 1, [B] -> [B, width], as diffusers' `get_guidance_scale_embedding`."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * -(math.log(10000.0) / (half - 1)))
    angles = (scale * 1000.0)[:, None] * frequencies[None, :]
    embedded = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
    return nn.functional.pad(embedded, (0, width % 2))


def down_and_middle(
    model: Any, x: Tensor, emb: Tensor, text: Tensor, wide: bool = False
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Run the down blocks and the mid block of a UNet2DConditionModel or ControlNetModel.

    x: FP32 [B, C_0, h, w], after the first convolution; emb as of `embedding`, `wide` if it is one a row; text
    [B, R, T, D].
    Returns the skip tensors, each [B, 1, C, h, w] (the same for all rows) or [B, R, C, h, w], in diffusers' order;
    the mid block's output [B*R, C, h, w]; and the embedding of every row [B*R, 4 * C_0].
    """
    count = text.shape[1]
    text = rows.merge(text)
    skips, widened = [x.unsqueeze(1)], wide
    if wide:
        x = rows.repeat(x, count)
    for block in model.down_blocks:
        attends = attending(block, text)
        if attends and not widened:
            x, emb, widened = rows.repeat(x, count), rows.repeat(emb, count), True
        x, outputs = block(hidden_states=x, temb=emb, **attends)
        skips += [rows.split(output, count) if widened else output.unsqueeze(1) for output in outputs]
    if not widened:
        x, emb = rows.repeat(x, count), rows.repeat(emb, count)
    return skips, model.mid_block(x, emb, **attending(model.mid_block, text)), emb


def attending(block: Any, text: Tensor) -> dict[str, Tensor]:
    """The text for a block that has cross-attention; nothing for one without."""
    return {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}
