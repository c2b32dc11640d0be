"""`<model>_controlnet_<net>` of a union: one net for several kinds of hints, told apart by a mode (diffusers'
ControlNetUnionModel, after xinsir's ControlNet++)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.graphs import controlnet, rows, trunk, unet


class ControlNetUnion(nn.Module):
    """ControlNetUnionModel with one hint a call.

    Its transformer attends over the batch, as it was not told that the batch comes first. Diffusers' pipelines call it
    for one request, whose rows are alike there, and attention over equal rows is their value: so this is what diffusers
    computes for a request by itself, whatever else is in the batch.

    Args:
        model: the ControlNetUnionModel.
        names: of the graph's inputs, in their order.
        masked: whether hints have a fourth channel, which marks pixels that the model is to see as black.
    """

    def __init__(self, model: Any, names: Sequence[str], masked: bool) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)
        self.masked = masked

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """As `controlnet.ControlNet.forward`, and mode INT64 [B,1]."""
        model, inputs = self.model, dict(zip(self.names, tensors, strict=True))
        mode = inputs["mode"]
        types = (torch.arange(model.config.num_control_type)[None] == mode).float()
        projected = model.control_type_proj(types.reshape(-1)).reshape(types.shape[0], -1)
        emb = trunk.embedding(model, inputs) + rows.repeat(
            model.control_add_embedding(projected), inputs["text"].shape[1]
        )
        picture = controlnet.seen(inputs["hint"], 0.0 if self.masked else None)
        x, hinted = model.conv_in(inputs["sample"]), model.controlnet_cond_embedding(picture)
        # Of the sequence (hint, sample) the hint's place alone is read afterwards.
        feature = hinted.mean(dim=(2, 3)) + model.task_embedding[mode.reshape(-1)]
        for layer in model.transformer_layes:
            feature = feature + _value(layer.attn, layer.ln_1(feature))
            feature = feature + layer.mlp(layer.ln_2(feature))
        x = x + hinted + model.spatial_ch_projs(feature)[:, :, None, None]
        return controlnet.steered(model, x, emb, inputs)


def _value(attn: Any, x: Tensor) -> Tensor:
    """Multi-head attention over rows that are all alike, [B,C] -> [B,C]."""
    width = x.shape[-1]
    value = F.linear(x, attn.in_proj_weight[2 * width :], attn.in_proj_bias[2 * width :])
    output: Tensor = attn.out_proj(value)
    return output


def reference(model: Any, names: Sequence[str], *tensors: Tensor) -> tuple[Tensor, ...]:
    """The same through ControlNetUnionModel.forward, request by request."""
    inputs = dict(zip(names, tensors, strict=True))
    count = inputs["text"].shape[1]
    made = []
    for row in range(inputs["sample"].shape[0]):
        one = {name: tensor[row : row + 1] for name, tensor in inputs.items()}
        down, middle = call(model, one, [one["hint"]], [one["mode"]], [1.0])
        scaled = [rows.split(x, count) * one["scale"][:, :, i, None, None, None] for i, x in enumerate((*down, middle))]
        made.append(scaled)
    return tuple(torch.cat(residual) for residual in zip(*made, strict=True))


def call(
    model: Any, inputs: dict[str, Tensor], hints: Sequence[Tensor], modes: Sequence[Tensor], scales: Sequence[float]
) -> tuple[Any, Any]:
    """ControlNetUnionModel.forward for the rows of one request, as diffusers' SDXL union pipelines call it."""
    count, kinds = inputs["text"].shape[1], [int(mode) for mode in modes]
    types = torch.zeros(1, model.config.num_control_type)
    types[0, kinds] = 1
    conditions = unet.conditions(model, inputs)
    down, middle = model(
        rows.repeat(inputs["sample"], count),
        rows.repeat(inputs["timestep"], count).reshape(-1),
        encoder_hidden_states=rows.merge(inputs["text"]),
        controlnet_cond=[rows.repeat(blackened(hint), count) for hint in hints],
        control_type=types.repeat(count, 1),
        control_type_idx=kinds,
        conditioning_scale=list(scales),
        return_dict=False,
        **conditions,
    )
    return down, middle


def blackened(hint: Tensor) -> Tensor:
    """What diffusers' union pipelines feed for a hint UINT8 [B,3,H,W]; for one with a mask, [B,4,H,W], the lines of the
    example in StableDiffusionXLControlNetUnionInpaintPipeline: black where it is repainted. FP32 [B,3,H,W]."""
    picture = hint[:, :3].float() / 255.0
    if hint.shape[1] == 4:
        picture[(hint[:, 3:] >= 128).expand_as(picture)] = 0.0
    return picture
