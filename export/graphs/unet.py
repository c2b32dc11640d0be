"""`<model>_unet`: latent, text and residuals -> one guided prediction (diffusers' UNet2DConditionModel)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from export.graphs import rows, trunk


def guided(rows_of_request: Tensor, guidance: Tensor) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022), in diffusers' order of operations.

    rows_of_request FP32 [B,R,4,h,w]: row 0 is the negative, the last one the positive, so R = 1 means no guidance.
    """
    negative, positive = rows_of_request[:, 0], rows_of_request[:, -1]
    return negative + guidance[:, :, None, None] * (positive - negative)


class UNet(nn.Module):
    """UNet2DConditionModel over all rows of all requests, with guidance at its end."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, sample: Tensor, timestep: Tensor, text: Tensor, guidance: Tensor, *residuals: Tensor) -> Tensor:
        """sample FP32 [B,4,h,w], timestep FP32 [B,1], text FP32 [B,R,T,D], guidance FP32 [B,1],
        n residuals FP32 [B,R,C_i,h_i,w_i] -> prediction FP32 [B,4,h,w]."""
        model = self.model
        temb = trunk.time_embedding(model, timestep)
        skips, x, temb = trunk.down_and_middle(model, model.conv_in(sample), temb, text)
        joined = [rows.merge(skip + residual) for skip, residual in zip(skips, residuals[:-1], strict=True)]
        x = x + rows.merge(residuals[-1])
        context = rows.merge(text)
        for block in model.up_blocks:
            count = len(block.resnets)
            taken, joined = tuple(joined[-count:]), joined[:-count]
            # The next skip's own size, always: an odd latent is not twice its half.
            size = joined[-1].shape[2:] if joined else None
            attended = {"encoder_hidden_states": context} if getattr(block, "has_cross_attention", False) else {}
            x = block(hidden_states=x, temb=temb, res_hidden_states_tuple=taken, upsample_size=size, **attended)
        x = model.conv_out(model.conv_act(model.conv_norm_out(x)))
        return guided(rows.split(x, text.shape[1]), guidance)


def reference(
    model: Any, sample: Tensor, timestep: Tensor, text: Tensor, guidance: Tensor, *residuals: Tensor
) -> Tensor:
    """The same through UNet2DConditionModel.forward, every row on its own account."""
    count = text.shape[1]
    merged = [rows.merge(residual) for residual in residuals]
    predicted = model(
        rows.repeat(sample, count),
        rows.repeat(timestep, count).reshape(-1),
        encoder_hidden_states=rows.merge(text),
        down_block_additional_residuals=tuple(merged[:-1]),
        mid_block_additional_residual=merged[-1],
        return_dict=False,
    )[0]
    return guided(rows.split(torch.as_tensor(predicted), count), guidance)
