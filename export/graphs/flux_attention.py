"""FLUX's attention written for graphs: the sums of diffusers' FluxAttnProcessor, in nodes that keep sizes free."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.embeddings import get_1d_rotary_pos_embed
from diffusers.models.transformers.transformer_flux import FluxAttention
from torch import Tensor, nn

from export.graphs.shapes import reshape

LONGEST = 128
"""Patches on a side of the largest picture, 2048 px."""


def normed(norm: Any, x: Tensor) -> Tensor:
    """torch.nn.RMSNorm over the last dimension, which the tracing exporter does not know."""
    scaled: Tensor = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.eps) * norm.weight
    return scaled


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """diffusers' apply_rotary_emb; x FP32 [N, S, heads, D], cos and sin [S, D]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack([-odd, even], dim=-1).flatten(3)
    return x * cos[None, :, None, :] + turned * sin[None, :, None, :]


class GraphProcessor:
    """An attention processor for FluxAttention: of text and picture together, or of one sequence of both."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Any:
        assert image_rotary_emb is not None
        cos, sin = image_rotary_emb

        def heads(x: Tensor) -> Tensor:
            return reshape(x, 0, 0, attn.heads, -1)

        query = normed(attn.norm_q, heads(attn.to_q(hidden_states)))
        key = normed(attn.norm_k, heads(attn.to_k(hidden_states)))
        value = heads(attn.to_v(hidden_states))
        if encoder_hidden_states is not None:
            text = encoder_hidden_states
            query = torch.cat([normed(attn.norm_added_q, heads(attn.add_q_proj(text))), query], dim=1)
            key = torch.cat([normed(attn.norm_added_k, heads(attn.add_k_proj(text))), key], dim=1)
            value = torch.cat([heads(attn.add_v_proj(text)), value], dim=1)
        query, key = rotated(query, cos, sin).transpose(1, 2), rotated(key, cos, sin).permute(0, 2, 3, 1)
        # The scale stands after the product, where runtimes fold it into the product.
        weights = ((query @ key) * attn.head_dim**-0.5).softmax(dim=-1)
        mixed = reshape((weights @ value.transpose(1, 2)).transpose(1, 2), 0, 0, -1)
        if encoder_hidden_states is None:
            return mixed
        words = encoder_hidden_states.shape[1]
        return attn.to_out[0](mixed[:, words:]), attn.to_add_out(mixed[:, :words])


def layers_of(model: nn.Module) -> list[Any]:
    """The attention layers of `model` that are FLUX's."""
    return [layer for layer in model.modules() if isinstance(layer, FluxAttention)]


@contextmanager
def written_for_graphs(model: nn.Module) -> Iterator[None]:
    """Within it, attention layers of `model` compute as GraphProcessor; afterwards as their own processors again."""
    layers = layers_of(model)
    own = [layer.processor for layer in layers]
    for layer in layers:
        layer.set_processor(GraphProcessor())
    try:
        yield
    finally:
        for layer, processor in zip(layers, own, strict=True):
            layer.set_processor(processor)


class Positions(nn.Module):
    """cos and sin of diffusers' FluxPosEmbed for a picture of any size: rows of tables made in double precision.

    Args:
        embed: the FluxPosEmbed.
    """

    def __init__(self, embed: Any) -> None:
        super().__init__()
        self.still = embed.axes_dim[0]
        for axis, name in ((1, "y"), (2, "x")):
            made = get_1d_rotary_pos_embed(
                embed.axes_dim[axis],
                torch.arange(LONGEST).float(),
                theta=embed.theta,
                use_real=True,
                repeat_interleave_real=True,
                freqs_dtype=torch.float64,
            )
            for part, table in zip(("cos", "sin"), made, strict=True):
                self.register_buffer(f"{name}_{part}", table.float(), persistent=False)

    def forward(self, words: Any, height: Any, width: Any) -> tuple[Tensor, Tensor]:
        """cos and sin FP32 [words + height * width, D]; words: text tokens, all at position zero; sides in patches."""
        made = []
        for part, still in (("cos", torch.ones), ("sin", torch.zeros)):
            y, x = getattr(self, f"y_{part}")[:height], getattr(self, f"x_{part}")[:width]
            grid = torch.cat(
                [
                    still(height, width, self.still),
                    y[:, None].expand(-1, width, -1),
                    x[None].expand(height, -1, -1),
                ],
                dim=-1,
            ).flatten(0, 1)
            made.append(torch.cat([still(words, grid.shape[1]), grid]))
        return made[0], made[1]
