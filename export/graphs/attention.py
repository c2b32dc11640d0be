"""Attention written for graphs: the sums of diffusers' AttnProcessor2_0 and Transformer2DModel, other nodes.

Tracing diffusers' own code leaves shape arithmetic before each reshape, scales queries and keys in two
multiplications a call, adds every bias in a pass of its own, and slices the gated activation out of one product.
Here tokens stay two-dimensional between attentions, so that a linear layer is one Gemm with its bias inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn
from torch.nn import functional as F

from export.graphs.shapes import reshape, reshape_like


def attend(attn: Any, tokens: Tensor, context: Tensor) -> Tensor:
    """Softmax attention of one layer before its output projection.

    tokens FP32 [N, S, C], context FP32 [N, T, D] -> FP32 [N, S, heads * width].
    """
    width = attn.to_q.out_features // attn.heads
    query = reshape(attn.to_q(tokens), 0, 0, attn.heads, -1).transpose(1, 2)
    key = reshape(attn.to_k(context), 0, 0, attn.heads, -1).permute(0, 2, 3, 1)
    value = reshape(attn.to_v(context), 0, 0, attn.heads, -1).transpose(1, 2)
    # The scale stands after the product, where runtimes fold it into the product.
    weights = ((query @ key) * width**-0.5).softmax(dim=-1)
    return reshape((weights @ value).transpose(1, 2), 0, 0, -1)


def to_tokens(picture: Tensor, channels: int) -> Tensor:
    """FP32 [N, C, h, w] -> [N, h*w, C]."""
    return reshape(picture, 0, channels, -1).transpose(1, 2)


class PictureAttention:
    """An attention processor for a layer over [N, C, h, w], as in the middle of a VAE."""

    def __call__(self, attn: Any, hidden_states: Tensor, **_: Any) -> Tensor:
        channels = attn.to_q.in_features
        tokens = to_tokens(hidden_states, channels)
        if attn.group_norm is not None:
            tokens = attn.group_norm(tokens.transpose(1, 2)).transpose(1, 2)
        mixed = reshape_like(attn.to_out[0](attend(attn, tokens, tokens)).transpose(1, 2), hidden_states)
        if attn.residual_connection:
            mixed = mixed + hidden_states
        return mixed if attn.rescale_output_factor == 1.0 else mixed / attn.rescale_output_factor


class GraphTransformer(nn.Module):
    """Transformer2DModel over pictures, with `BasicTransformerBlock`s of SD1.5's kind: layer norms and GEGLU."""

    def __init__(self, model: Transformer2DModel) -> None:
        super().__init__()
        self.model: Any = model
        self.channels = self.model.proj_in.weight.shape[1]

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any) -> tuple[Tensor]:
        """hidden_states FP32 [N, C, h, w], encoder_hidden_states FP32 [N, T, D] -> (FP32 [N, C, h, w],)."""
        assert encoder_hidden_states is not None
        normed = to_tokens(self.model.norm(hidden_states), self.channels)
        x = F.linear(reshape(normed, -1, self.channels), _matrix(self.model.proj_in), self.model.proj_in.bias)
        for block in self.model.transformer_blocks:
            x = x + _attended(block.attn1, block.norm1(x), normed, None)
            x = x + _attended(block.attn2, block.norm2(x), normed, encoder_hidden_states)
            x = x + _gated(block.ff, block.norm3(x))
        x = F.linear(x, _matrix(self.model.proj_out), self.model.proj_out.bias)
        picture = reshape_like(reshape_like(x, normed).transpose(1, 2), hidden_states)
        return (picture + hidden_states,)


def _attended(attn: Any, x: Tensor, shaped: Tensor, context: Tensor | None) -> Tensor:
    """Attention over tokens in rows, [N*S, C] -> [N*S, C]; `shaped` is any tensor of shape [N, S, C]."""
    tokens = reshape_like(x, shaped)
    mixed = attend(attn, tokens, tokens if context is None else context)
    output: Tensor = attn.to_out[0](reshape(mixed, -1, attn.to_out[0].in_features))
    return output


def _gated(feed_forward: Any, x: Tensor) -> Tensor:
    """GEGLU (Shazeer 2020) and the projection after it; value and gate come from products of their own."""
    projection, out = feed_forward.net[0].proj, feed_forward.net[2]
    value, gate = projection.weight.chunk(2)
    value_bias, gate_bias = projection.bias.chunk(2)
    output: Tensor = out(F.linear(x, value, value_bias) * F.gelu(F.linear(x, gate, gate_bias)))
    return output


def _matrix(projection: Any) -> Tensor:
    """The weight of a linear layer or of a 1x1 convolution as a matrix [out, in]."""
    weight: Tensor = projection.weight
    return weight.flatten(1)


@contextmanager
def written_for_graphs(model: nn.Module) -> Iterator[None]:
    """Within it, transformers and attention layers of `model` are those of this file; afterwards its own again.

    Raises ValueError for a layer with parts that this file does not compute, as no SD1.5-shaped model has.
    """
    transformers = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, Transformer2DModel)
    ]
    for _, name, transformer in transformers:
        _familiar(name, transformer)
    inside = {layer for _, _, transformer in transformers for layer in transformer.modules()}
    layers = [layer for layer in model.modules() if hasattr(layer, "set_processor") and layer not in inside]
    own = [layer.processor for layer in layers]
    try:
        for parent, name, transformer in transformers:
            setattr(parent, name, GraphTransformer(transformer))
        for layer in layers:
            layer.set_processor(PictureAttention())
        yield
    finally:
        for parent, name, transformer in transformers:
            setattr(parent, name, transformer)
        for layer, processor in zip(layers, own, strict=True):
            layer.set_processor(processor)


def _familiar(name: str, transformer: Any) -> None:
    blocks = list(transformer.transformer_blocks)
    odd = [block.norm_type for block in blocks if block.norm_type != "layer_norm"]
    odd += [type(block.ff.net[0]).__name__ for block in blocks if type(block.ff.net[0]).__name__ != "GEGLU"]
    odd += ["no cross-attention" for block in blocks if block.attn2 is None]
    odd += ["double self-attention" for block in blocks if block.only_cross_attention]
    odd += ["position embedding" for block in blocks if block.pos_embed is not None]
    if odd or not transformer.is_input_continuous:
        raise ValueError(f"transformer {name} has {odd}, which the graph does not compute")
