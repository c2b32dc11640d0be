"""`<model>_unet`: latent, text and residuals -> one guided prediction (diffusers' UNet2DConditionModel)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from export.graphs import rows, trunk
from families.facts import SIZE_NUMBERS


def guided(rows_of_request: Tensor, guidance: Tensor) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022), in diffusers' order of operations.

    rows_of_request FP32 [B,R,4,h,w]: row 0 is the negative, the last one the positive, so R = 1 means no guidance.
    """
    negative, positive = rows_of_request[:, 0], rows_of_request[:, -1]
    return negative + guidance[:, :, None, None] * (positive - negative)


class UNet(nn.Module):
    """UNet2DConditionModel over all rows of all requests, with guidance at its end.

    Args:
        model: the UNet2DConditionModel.
        names: of the graph's inputs, in their order.
    """

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)

    def forward(self, *tensors: Tensor) -> Tensor:
        """sample FP32 [B,4,h,w], timestep FP32 [B,1], text FP32 [B,R,T,D], vector FP32 [B,R,P+6], distilled FP32 [B,1],
        concat FP32 [B,5,h,w], guidance FP32 [B,1], as far as `names` has them, and n residuals FP32 [B,R,C_i,h_i,w_i]
        -> prediction FP32 [B,4,h,w]."""
        model, inputs = self.model, dict(zip(self.names, tensors, strict=True))
        residuals = _residuals(inputs)
        emb = trunk.embedding(model, inputs)
        skips, x, emb = trunk.down_and_middle(
            model, model.conv_in(rows.concatenated(inputs)), emb, inputs["text"], trunk.reads_vector(model)
        )
        joined = [rows.merge(skip + residual) for skip, residual in zip(skips, residuals[:-1], strict=True)]
        x = x + rows.merge(residuals[-1])
        context = rows.merge(inputs["text"])
        for block in model.up_blocks:
            count = len(block.resnets)
            taken, joined = tuple(joined[-count:]), joined[:-count]
            # The next skip's own size, always: an odd latent is not twice its half.
            size = joined[-1].shape[2:] if joined else None
            attends = trunk.attending(block, context)
            x = block(hidden_states=x, temb=emb, res_hidden_states_tuple=taken, upsample_size=size, **attends)
        x = model.conv_out(model.conv_act(model.conv_norm_out(x)))
        return guided(rows.split(x, inputs["text"].shape[1]), inputs["guidance"])


def _residuals(inputs: Mapping[str, Tensor]) -> list[Tensor]:
    return [tensor for name, tensor in inputs.items() if name.startswith("residual_")]


def reference(model: Any, names: Sequence[str], *tensors: Tensor) -> Tensor:
    """The same through UNet2DConditionModel.forward, every row on its own account."""
    inputs = dict(zip(names, tensors, strict=True))
    merged = [rows.merge(residual) for residual in _residuals(inputs)]
    added = {"down_block_additional_residuals": tuple(merged[:-1]), "mid_block_additional_residual": merged[-1]}
    return step(model, inputs, added)


def step(model: Any, inputs: Mapping[str, Tensor], added: Mapping[str, Any]) -> Tensor:
    """One guided prediction by UNet2DConditionModel.forward with the residuals `added`, as diffusers' pipelines do it.

    inputs: as of `UNet.forward`, by name.
    """
    count = inputs["text"].shape[1]
    predicted = model(
        rows.repeat(rows.concatenated(inputs), count),
        rows.repeat(inputs["timestep"], count).reshape(-1),
        encoder_hidden_states=rows.merge(inputs["text"]),
        return_dict=False,
        **conditions(model, inputs),
        **added,
    )[0]
    return guided(rows.split(torch.as_tensor(predicted), count), inputs["guidance"])


def conditions(model: Any, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of diffusers' forward passes for what is added to the timestep's embedding."""
    made: dict[str, Any] = {}
    if trunk.reads_vector(model):
        vector = rows.merge(inputs["vector"])
        pooled, sizes = vector[:, :-SIZE_NUMBERS], vector[:, -SIZE_NUMBERS:]
        made["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": sizes}
    if model.config.get("time_cond_proj_dim"):
        from diffusers import StableDiffusionXLPipeline

        scale = rows.repeat(inputs["distilled"], inputs["text"].shape[1]).reshape(-1) - 1
        embed = StableDiffusionXLPipeline.get_guidance_scale_embedding
        made["timestep_cond"] = embed(None, scale, model.config.time_cond_proj_dim)  # type: ignore[arg-type]
    return made
