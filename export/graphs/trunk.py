"""The half that a UNet and its ControlNets share: time embedding, down blocks, mid block.

The negative and the positive row differ in nothing but their text, so everything before the first cross-attention
is computed once a request and widened to its rows only there. diffusers computes it once a row; the numbers are the
same.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from export.graphs import rows


def time_embedding(model: Any, timestep: Tensor) -> Tensor:
    """`model.time_embedding` of one timestep a request, [B, 1] -> [B, 4 * C_0]."""
    embedded: Tensor = model.time_embedding(model.time_proj(timestep.reshape(-1)))
    return embedded


def down_and_middle(model: Any, x: Tensor, temb: Tensor, text: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """Run the down blocks and the mid block of a UNet2DConditionModel or ControlNetModel.

    x: FP32 [B, C_0, h, w], after the first convolution; temb [B, 4 * C_0]; text [B, R, T, D].
    Returns the skip tensors, each [B, 1, C, h, w] (the same for all rows) or [B, R, C, h, w], in diffusers' order;
    the mid block's output [B*R, C, h, w]; and the time embedding of every row [B*R, 4 * C_0].
    """
    count = text.shape[1]
    text = rows.merge(text)
    skips, widened = [x.unsqueeze(1)], False
    for block in model.down_blocks:
        attends = getattr(block, "has_cross_attention", False)
        if attends and not widened:
            x, temb, widened = rows.repeat(x, count), rows.repeat(temb, count), True
        if attends:
            x, outputs = block(hidden_states=x, temb=temb, encoder_hidden_states=text)
        else:
            x, outputs = block(hidden_states=x, temb=temb)
        skips += [rows.split(output, count) if widened else output.unsqueeze(1) for output in outputs]
    if not widened:
        x, temb = rows.repeat(x, count), rows.repeat(temb, count)
    return skips, model.mid_block(x, temb, encoder_hidden_states=text), temb
