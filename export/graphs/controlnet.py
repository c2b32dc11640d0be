"""`<model>_controlnet_<kind>`: a hint and a latent -> scaled residuals (diffusers' ControlNetModel)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from export.graphs import rows, trunk


class ControlNet(nn.Module):
    """ControlNetModel with the hint in bytes and one scale for each row and residual.

    The hint does not depend on the text row, so its embedding is computed once a request.

    Args:
        model: the ControlNetModel; it takes three channels either way.
        masked: whether the hint's fourth channel marks pixels that the model is to see as -1.
    """

    def __init__(self, model: Any, masked: bool) -> None:
        super().__init__()
        self.model = model
        self.masked = masked

    def forward(
        self, sample: Tensor, timestep: Tensor, text: Tensor, hint: Tensor, scale: Tensor
    ) -> tuple[Tensor, ...]:
        """sample FP32 [B,4,h,w], timestep FP32 [B,1], text FP32 [B,R,T,D], hint UINT8 [B,3,8h,8w], scale FP32 [B,R,n]
        -> n residuals FP32 [B,R,C_i,h_i,w_i]. A masked hint is [B,4,8h,8w]: RGB, then 128 or more where to repaint."""
        model = self.model
        picture = hint[:, :3].float() / 255.0
        if self.masked:
            picture = torch.where(hint[:, 3:] >= 128, -1.0, picture)
        if model.config.controlnet_conditioning_channel_order == "bgr":
            picture = picture.flip(1)
        x = model.conv_in(sample) + model.controlnet_cond_embedding(picture)
        skips, middle, _ = trunk.down_and_middle(model, x, trunk.time_embedding(model, timestep), text)
        count = text.shape[1]
        projected = [_project(zero, skip) for zero, skip in zip(model.controlnet_down_blocks, skips, strict=True)]
        projected.append(rows.split(model.controlnet_mid_block(middle), count))
        if model.config.global_pool_conditions:
            projected = [x.mean(dim=(3, 4), keepdim=True).expand_as(x) for x in projected]
        return tuple(x * scale[:, :, i, None, None, None] for i, x in enumerate(projected))


def _project(zero: nn.Module, skip: Tensor) -> Tensor:
    return rows.split(zero(rows.merge(skip)), skip.shape[1])


def conditioning(hint: Tensor) -> Tensor:
    """What diffusers' pipelines feed a ControlNet for a hint UINT8 [B,3,H,W]; for one with a mask, [B,4,H,W], the lines
    of `make_inpaint_condition` in the documentation of StableDiffusionControlNetInpaintPipeline. FP32 [B,3,H,W]."""
    picture = hint[:, :3].float() / 255.0
    if hint.shape[1] == 4:
        mask = hint[:, 3:].float() / 255.0
        picture[(mask > 0.5).expand_as(picture)] = -1.0
    return picture


def reference(
    model: Any, sample: Tensor, timestep: Tensor, text: Tensor, hint: Tensor, scale: Tensor
) -> tuple[Tensor, ...]:
    """The same through ControlNetModel.forward, every row on its own account.

    A ControlNet with global_pool_conditions answers [B,R,C_i,1,1], to be spread over the picture.
    """
    count = text.shape[1]
    down, middle = model(
        rows.repeat(sample, count),
        rows.repeat(timestep, count).reshape(-1),
        encoder_hidden_states=rows.merge(text),
        controlnet_cond=rows.repeat(conditioning(hint), count),
        return_dict=False,
    )
    return tuple(rows.split(x, count) * scale[:, :, i, None, None, None] for i, x in enumerate((*down, middle)))
