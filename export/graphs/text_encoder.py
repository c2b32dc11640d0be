"""`<model>_text_encoder`: tokens -> hidden states, as diffusers' `encode_prompt` takes them (CLIPTextModel)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Layers(nn.Module):
    """The layers of a CLIPTextModel, and the state after the one at which each request stops."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        length = model.config.max_position_embeddings
        causal = torch.full((1, 1, length, length), torch.finfo(torch.float32).min).triu(1)
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, input_ids: Tensor, layers_skipped: Tensor) -> tuple[Tensor, Tensor]:
        """input_ids INT64 [B,77], layers_skipped INT64 [B,1] (0 = after the last layer) -> the state after the chosen
        layer and that after the last one, FP32 [B,77,D] each."""
        hidden = self.model.embeddings(input_ids=input_ids)
        layers, chosen = self.model.encoder.layers, hidden
        for index, layer in enumerate(layers, start=1):
            hidden = layer(hidden, self.causal)
            stop = (layers_skipped == len(layers) - index).unsqueeze(-1)
            chosen = torch.where(stop, hidden, chosen)
        return chosen, hidden


class TextEncoder(nn.Module):
    """CLIPTextModel with diffusers' clip_skip as an input: every request may stop at a layer of its own."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.layers = Layers(model)

    def forward(self, input_ids: Tensor, layers_skipped: Tensor) -> Tensor:
        """input_ids INT64 [B,77], layers_skipped INT64 [B,1] (0 = after the last layer) -> hidden FP32 [B,77,D]."""
        chosen, _ = self.layers(input_ids, layers_skipped)
        normed: Tensor = self.layers.model.final_layer_norm(chosen)
        return normed


class TwoTextEncoders(nn.Module):
    """SDXL's two: hidden states side by side, without the final norm, and the second one's word for the whole text.

    Args:
        first: CLIPTextModel.
        second: CLIPTextModelWithProjection.
    """

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__()
        self.first, self.second = Layers(first), Layers(second.text_model)
        self.projection = second.text_projection

    def forward(self, input_ids_0: Tensor, input_ids_1: Tensor, layers_skipped: Tensor) -> tuple[Tensor, Tensor]:
        """input_ids_0, input_ids_1 INT64 [B,77], layers_skipped INT64 [B,1] (0 = after the layer before the last)
        -> hidden FP32 [B,77,D_0+D_1], pooled FP32 [B,P]."""
        skipped = layers_skipped + 1
        (one, _), (two, last) = self.first(input_ids_0, skipped), self.second(input_ids_1, skipped)
        pooled: Tensor = self.projection(pooled_at_end(self.second.model, input_ids_1, last))
        return torch.cat([one, two], dim=-1), pooled


def pooled_at_end(model: Any, input_ids: Tensor, last: Tensor) -> Tensor:
    """What CLIP calls the pooled state: that of the first end token, after the final norm. [B,77] -> [B,D].

    Configurations from before transformers 4.31 call the end token 2; for them it is the token of the largest id.
    """
    ends = input_ids if model.eos_token_id == 2 else (input_ids == model.eos_token_id).int()
    at = ends.argmax(dim=-1)
    normed: Tensor = model.final_layer_norm(last)
    return normed.gather(1, at[:, None, None].expand(-1, 1, normed.shape[2])).squeeze(1)


def reference(model: Any, input_ids: Tensor, layers_skipped: Tensor) -> Tensor:
    """The same through CLIPTextModel.forward and the lines of diffusers' `encode_prompt`, request by request."""
    states = model(input_ids, output_hidden_states=True).hidden_states
    picked = [states[-(int(skipped) + 1)][row] for row, skipped in enumerate(layers_skipped.reshape(-1).tolist())]
    normed: Tensor = model.final_layer_norm(torch.stack(picked))
    return normed


def reference_of_two(
    first: Any, second: Any, input_ids_0: Tensor, input_ids_1: Tensor, layers_skipped: Tensor
) -> tuple[Tensor, Tensor]:
    """The same through both classes' own forward passes and the lines of diffusers' SDXL `encode_prompt`."""
    answers = [model(ids, output_hidden_states=True) for model, ids in ((first, input_ids_0), (second, input_ids_1))]
    rows = []
    for row, skipped in enumerate(layers_skipped.reshape(-1).tolist()):
        rows.append(torch.cat([answer.hidden_states[-(int(skipped) + 2)][row] for answer in answers], dim=-1))
    return torch.stack(rows), answers[1].text_embeds


class T5AndClip(nn.Module):
    """FLUX's two: T5's hidden states, and CLIP's pooled one.

    Args:
        clip: CLIPTextModel.
        t5: T5EncoderModel.
    """

    def __init__(self, clip: Any, t5: Any) -> None:
        super().__init__()
        self.clip, self.t5 = Layers(clip), t5

    def forward(self, input_ids_0: Tensor, input_ids_1: Tensor) -> tuple[Tensor, Tensor]:
        """input_ids_0 INT64 [B,77] of CLIP, input_ids_1 INT64 [B,T] of T5 -> hidden FP32 [B,T,D], pooled FP32 [B,P]."""
        _, last = self.clip(input_ids_0, torch.zeros_like(input_ids_0[:, :1]))
        return self.t5(input_ids_1)[0], pooled_at_end(self.clip.model, input_ids_0, last)


def reference_of_flux(clip: Any, t5: Any, input_ids_0: Tensor, input_ids_1: Tensor) -> tuple[Tensor, Tensor]:
    """The same as diffusers' FLUX pipelines call both."""
    pooled: Tensor = clip(input_ids_0, output_hidden_states=False).pooler_output
    return t5(input_ids_1, output_hidden_states=False)[0], pooled
