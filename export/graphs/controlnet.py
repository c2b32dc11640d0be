"""`<model>_controlnet_<net>`: a hint and a latent -> scaled residuals (diffusers' ControlNetModel)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from export.graphs import rows, trunk, unet


class ControlNet(nn.Module):
    """ControlNetModel with the hint in bytes and one scale for each row and residual.

    The hint does not depend on the text row, so its embedding is computed once a request.

    Args:
        model: the ControlNetModel; it takes three channels either way.
        names: of the graph's inputs, in their order.
        masked: whether the hint's fourth channel marks pixels that the model is to see as `-1`.
    """

    def __init__(self, model: Any, names: Sequence[str], masked: bool) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)
        self.masked = masked

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """sample FP32 [B,4,h,w], timestep FP32 [B,1], text FP32 [B,R,T,D], vector FP32 [B,R,P+6] if `names` has it,
        hint UINT8 [B,3,8h,8w], scale FP32 [B,R,n] -> n residuals FP32 [B,R,C_i,h_i,w_i]. A masked hint is [B,4,8h,8w]:
        RGB, then 128 or more where to repaint."""
        model, inputs = self.model, dict(zip(self.names, tensors, strict=True))
        picture = seen(inputs["hint"], -1.0 if self.masked else None)
        if model.config.controlnet_conditioning_channel_order == "bgr":
            picture = picture.flip(1)
        x = model.conv_in(inputs["sample"]) + model.controlnet_cond_embedding(picture)
        return steered(model, x, trunk.embedding(model, inputs), inputs)


def seen(hint: Tensor, marked: float | None) -> Tensor:
    """A hint UINT8 [B,3,H,W] as a network reads it, FP32 in [0, 1]; of one with a mask, [B,4,H,W], `marked` stands
    where the mask does."""
    picture = hint[:, :3].float() / 255.0
    return picture if marked is None else torch.where(hint[:, 3:] >= 128, marked, picture)


def steered(model: Any, x: Tensor, emb: Tensor, inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """Residuals of latents and hint together, [B, C_0, h, w]; see `ControlNet.forward`."""
    text, scale = inputs["text"], inputs["scale"]
    skips, middle, _ = trunk.down_and_middle(model, x, emb, text, trunk.reads_vector(model))
    projected = [_project(zero, skip) for zero, skip in zip(model.controlnet_down_blocks, skips, strict=True)]
    projected.append(rows.split(model.controlnet_mid_block(middle), text.shape[1]))
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


def reference(model: Any, names: Sequence[str], *tensors: Tensor) -> tuple[Tensor, ...]:
    """The same through ControlNetModel.forward, every row on its own account.

    A ControlNet with global_pool_conditions answers [B,R,C_i,1,1], to be spread over the picture.
    """
    inputs = dict(zip(names, tensors, strict=True))
    count, scale = inputs["text"].shape[1], inputs["scale"]
    down, middle = model(
        rows.repeat(inputs["sample"], count),
        rows.repeat(inputs["timestep"], count).reshape(-1),
        encoder_hidden_states=rows.merge(inputs["text"]),
        controlnet_cond=rows.repeat(conditioning(inputs["hint"]), count),
        return_dict=False,
        **unet.conditions(model, inputs),
    )
    return tuple(rows.split(x, count) * scale[:, :, i, None, None, None] for i, x in enumerate((*down, middle)))
