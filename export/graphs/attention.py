"""Attention written for graphs: the sums of diffusers' AttnProcessor2_0 with every width a constant.

Tracing diffusers' own processor leaves a chain of Shape, Gather and Concat nodes before each reshape, and torch's
export of `scaled_dot_product_attention` scales queries and keys in two multiplications a call. Here one
multiplication stands before the product, where runtimes fold it into the matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class GraphAttention:
    """An attention processor for `Attention` layers of SD1.5-shaped UNets and the VAE's mid block."""

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        """hidden_states: FP32 [N, S, C], or [N, C, h, w] in a VAE; encoder_hidden_states: FP32 [N, T, D]."""
        entered, picture = hidden_states, hidden_states.ndim == 4
        if picture:
            hidden_states = hidden_states.flatten(2).transpose(1, 2)
        if attn.group_norm is not None:
            hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        width = attn.to_q.out_features // attn.heads
        query, key, value = (
            project(x).unflatten(-1, (attn.heads, width)).transpose(1, 2)
            for project, x in ((attn.to_q, hidden_states), (attn.to_k, context), (attn.to_v, context))
        )
        weights = ((query * width**-0.5) @ key.transpose(-1, -2)).softmax(dim=-1)
        mixed = attn.to_out[0]((weights @ value).transpose(1, 2).flatten(2))
        if picture:
            mixed = mixed.transpose(1, 2).reshape(entered.shape)
        if attn.residual_connection:
            mixed = mixed + entered
        return mixed if attn.rescale_output_factor == 1.0 else mixed / attn.rescale_output_factor


@contextmanager
def written_for_graphs(model: nn.Module) -> Iterator[None]:
    """Within it, every attention layer of `model` is computed by `GraphAttention`; afterwards by its own processor.

    Raises ValueError for a layer with parts that GraphAttention does not compute, as no SD1.5-shaped model has.
    """
    layers = {name: layer for name, layer in model.named_modules() if hasattr(layer, "set_processor")}
    for name, layer in layers.items():
        odd = [
            part for part in ("spatial_norm", "norm_q", "norm_k", "norm_cross") if getattr(layer, part, None)
        ]
        if odd:
            raise ValueError(f"attention layer {name} has {odd}, which the graph does not compute")
    own = {name: layer.processor for name, layer in layers.items()}
    try:
        for layer in layers.values():
            layer.set_processor(GraphAttention())
        yield
    finally:
        for name, layer in layers.items():
            layer.set_processor(own[name])
