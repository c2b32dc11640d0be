"""`<model>_text_encoder`: tokens -> hidden states, as diffusers' `encode_prompt` takes them (CLIPTextModel)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class TextEncoder(nn.Module):
    """CLIPTextModel with diffusers' clip_skip as an input: every request may stop at a layer of its own."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        length = model.config.max_position_embeddings
        causal = torch.full((1, 1, length, length), torch.finfo(torch.float32).min).triu(1)
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, input_ids: Tensor, layers_skipped: Tensor) -> Tensor:
        """input_ids INT64 [B,77], layers_skipped INT64 [B,1] (0 = after the last layer) -> hidden FP32 [B,77,D]."""
        hidden = self.model.embeddings(input_ids=input_ids)
        layers, chosen = self.model.encoder.layers, hidden
        for index, layer in enumerate(layers, start=1):
            hidden = layer(hidden, self.causal)
            stop = (layers_skipped == len(layers) - index).unsqueeze(-1)
            chosen = torch.where(stop, hidden, chosen)
        normed: Tensor = self.model.final_layer_norm(chosen)
        return normed


def reference(model: Any, input_ids: Tensor, layers_skipped: Tensor) -> Tensor:
    """The same through CLIPTextModel.forward and the lines of diffusers' `encode_prompt`, request by request."""
    states = model(input_ids, output_hidden_states=True).hidden_states
    picked = [states[-(int(skipped) + 1)][row] for row, skipped in enumerate(layers_skipped.reshape(-1).tolist())]
    normed: Tensor = model.final_layer_norm(torch.stack(picked))
    return normed
