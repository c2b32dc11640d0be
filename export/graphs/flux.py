"""`<model>_unet`, `<model>_controlnet_<net>` and what lies between them for FLUX: diffusers' FluxTransformer2DModel and
FluxControlNetModel over latents, which are packed into patches inside the graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from export.graphs import rows
from export.graphs.flux_attention import Positions

PATCH = 2


def packed(x: Tensor) -> Tensor:
    """Latents [B, C, h, w] -> tokens [B, h/2 * w/2, 4C], as diffusers' `_pack_latents`."""
    b, c, h, w = x.shape
    return x.reshape(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, (h // 2) * (w // 2), c * 4)


def unpacked(x: Tensor, height: Any, width: Any) -> Tensor:
    """The inverse; height and width in patches."""
    b, _, c = x.shape
    return x.reshape(b, height, width, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, c // 4, height * 2, width * 2)


def embedding(model: Any, inputs: Mapping[str, Tensor], vector: Tensor) -> Tensor:
    """The embedding of time, guidance and the text as a whole, one a row of `vector` [B, R, P]."""
    count = vector.shape[1]
    # diffusers divides by 1000 in its pipelines and multiplies in the model.
    time = rows.repeat(inputs["timestep"] / 1000 * 1000, count).reshape(-1)
    if "distilled" not in inputs:
        embedded: Tensor = model.time_text_embed(time, rows.merge(vector))
        return embedded
    guidance = rows.repeat(inputs["distilled"] * 1000, count).reshape(-1)
    embedded = model.time_text_embed(time, guidance, rows.merge(vector))
    return embedded


class Transformer(nn.Module):
    """FluxTransformer2DModel over all rows of all requests, with true guidance at its end.

    A block takes the residual of its share of the stack's depth, as diffusers' `interval_control`: the depth is free,
    so that ControlNets of any number of blocks serve one graph.

    Args:
        model: the FluxTransformer2DModel.
        names: of the graph's inputs, in their order.
    """

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names, self.positions = model, tuple(names), Positions(model.pos_embed)

    def forward(self, *tensors: Tensor) -> Tensor:
        """sample FP32 [B,C,h,w], timestep FP32 [B,1], text FP32 [B,R,T,D], vector FP32 [B,R,P], distilled FP32 [B,1],
        concat FP32 [B,K,h,w], guidance FP32 [B,1], as far as `names` has them, residual_0 and residual_1
        FP32 [B,n,patches,W] -> prediction FP32 [B,C,h,w]."""
        model, inputs = self.model, dict(zip(self.names, tensors, strict=True))
        sample, text, count = inputs["sample"], inputs["text"], inputs["text"].shape[1]
        height, width = sample.shape[2] // PATCH, sample.shape[3] // PATCH
        x = rows.repeat(model.x_embedder(packed(rows.concatenated(inputs))), count)
        emb, context = embedding(model, inputs, inputs["vector"]), model.context_embedder(rows.merge(text))
        rope = self.positions(text.shape[2], height, width)
        for stack, added in (
            (model.transformer_blocks, inputs["residual_0"]),
            (model.single_transformer_blocks, inputs["residual_1"]),
        ):
            for index, block in enumerate(stack):
                context, x = block(hidden_states=x, encoder_hidden_states=context, temb=emb, image_rotary_emb=rope)
                x = x + rows.repeat(taken(added, index, len(stack)), count)
        x = rows.split(unpacked(model.proj_out(model.norm_out(x, emb)), height, width), count)
        negative, positive = x[:, 0], x[:, -1]
        return negative + inputs["guidance"][:, :, None, None] * (positive - negative)


def taken(added: Tensor, index: int, blocks: int) -> Tensor:
    """The residual of block `index` of so many, [B, n, S, C] -> [B, S, C]; n is known at run time alone."""
    depth = torch.as_tensor(added.shape[1])
    interval = (blocks + depth - 1) // depth
    return added.index_select(1, (torch.as_tensor(index) // interval).reshape(1)).squeeze(1)


class ControlNet(nn.Module):
    """FluxControlNetModel for the positive row alone, as diffusers' pipelines call it.

    Args:
        model: the FluxControlNetModel; a union also reads a mode.
        names: of the graph's inputs, in their order.
    """

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names, self.positions = model, tuple(names), Positions(model.pos_embed)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """sample, timestep, text, vector, distilled as `Transformer.forward`, hint FP32 [B,C,h,w] latents, scale
        FP32 [B,1], mode INT64 [B,1] -> residuals of the double and of the single blocks, FP32 [B,n,patches,W]."""
        model, inputs = self.model, dict(zip(self.names, tensors, strict=True))
        sample, text, vector = inputs["sample"], inputs["text"][:, -1], inputs["vector"][:, -1:]
        height, width = sample.shape[2] // PATCH, sample.shape[3] // PATCH
        x = model.x_embedder(packed(sample)) + model.controlnet_x_embedder(packed(inputs["hint"]))
        emb, context = embedding(model, inputs, vector), model.context_embedder(text)
        if "mode" in inputs:
            context = torch.cat([model.controlnet_mode_embedder(inputs["mode"]), context], dim=1)
        rope = self.positions(context.shape[1], height, width)
        made = []
        for stack, out in (
            (model.transformer_blocks, model.controlnet_blocks),
            (model.single_transformer_blocks, model.controlnet_single_blocks),
        ):
            kept = []
            for block, project in zip(stack, out, strict=True):
                context, x = block(hidden_states=x, encoder_hidden_states=context, temb=emb, image_rotary_emb=rope)
                kept.append(project(x) * inputs["scale"][:, :, None])
            # A net without blocks of one of the kinds still has to give something for it.
            made.append(torch.stack(kept, dim=1) if kept else torch.zeros_like(x).unsqueeze(1))
        return made[0], made[1]


class NoControl(nn.Module):
    """Residuals of zeros and depth 1: a step outside every control's window goes through the same graph.

    Args:
        width: of the transformer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, sample: Tensor) -> tuple[Tensor, Tensor]:
        """sample FP32 [B,C,h,w] -> two of FP32 [B,1,patches,W]."""
        shape = (sample.shape[0], 1, (sample.shape[2] // PATCH) * (sample.shape[3] // PATCH), self.width)
        return torch.zeros(shape), torch.zeros(shape)


def ids(height: int, width: int) -> Tensor:
    """Positions of a picture's patches as diffusers' `_prepare_latent_image_ids`: FP32 [patches, 3]."""
    made = torch.zeros(height, width, 3)
    made[..., 1] += torch.arange(height)[:, None]
    made[..., 2] += torch.arange(width)[None, :]
    return made.reshape(height * width, 3)


def _row(inputs: Mapping[str, Tensor], index: int, row: int) -> dict[str, Any]:
    """Arguments of diffusers' forward passes for one text row of one request."""
    sample = rows.concatenated(inputs)[index : index + 1]
    height, width = sample.shape[2] // PATCH, sample.shape[3] // PATCH
    distilled = inputs["distilled"][index] if "distilled" in inputs else None
    return {
        "hidden_states": packed(sample),
        "timestep": inputs["timestep"][index] / 1000,
        "guidance": distilled,
        "pooled_projections": inputs["vector"][index, row][None],
        "encoder_hidden_states": inputs["text"][index, row][None],
        "txt_ids": torch.zeros(inputs["text"].shape[2], 3),
        "img_ids": ids(height, width),
        "return_dict": False,
    }


def controlnet_reference(model: Any, names: Sequence[str], *tensors: Tensor) -> tuple[Tensor, ...]:
    """ControlNet through FluxControlNetModel.forward, request by request."""
    inputs = dict(zip(names, tensors, strict=True))
    made = []
    for index in range(inputs["sample"].shape[0]):
        mode = inputs["mode"][index : index + 1] if "mode" in inputs else None
        double, single = model(
            controlnet_cond=packed(inputs["hint"][index : index + 1]),
            controlnet_mode=mode,
            conditioning_scale=float(inputs["scale"][index]),
            **_row(inputs, index, -1),
        )
        patches = (inputs["sample"].shape[2] // PATCH) * (inputs["sample"].shape[3] // PATCH)
        made.append([_stacked(stack, patches, model.inner_dim) for stack in (double, single)])
    return tuple(torch.cat(stacks) for stacks in zip(*made, strict=True))


def _stacked(stack: Any, patches: int, width: int) -> Tensor:
    return torch.stack(list(stack), dim=1) if stack else torch.zeros(1, 1, patches, width)


def reference(model: Any, names: Sequence[str], *tensors: Tensor) -> Tensor:
    """Transformer through FluxTransformer2DModel.forward, row by row."""
    inputs = dict(zip(names, tensors, strict=True))
    made = []
    for index in range(inputs["sample"].shape[0]):
        stacks = [list(inputs[name][index : index + 1].unbind(1)) for name in ("residual_0", "residual_1")]
        predictions = [_predicted(model, inputs, index, row, stacks) for row in range(inputs["text"].shape[1])]
        negative, positive = predictions[0], predictions[-1]
        made.append(negative + inputs["guidance"][index] * (positive - negative))
    return torch.cat(made)


def _predicted(model: Any, inputs: Mapping[str, Tensor], index: int, row: int, stacks: Sequence[Any]) -> Tensor:
    given = _row(inputs, index, row)
    out = model(controlnet_block_samples=stacks[0], controlnet_single_block_samples=stacks[1], **given)[0]
    sample = inputs["sample"]
    return unpacked(out, sample.shape[2] // PATCH, sample.shape[3] // PATCH)
