"""Configurations of text encoders, CLIP and T5, from the shapes of their tensors, as transformers and as OpenCLIP name
them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from export.single_files.header import Section

HEAD_WIDTH = 64
"""Channels of an attention head in every CLIP text encoder, and in every T5 encoder, that was published."""


def clip(section: Section, published: Mapping[str, Any]) -> dict[str, Any]:
    """Of a CLIPTextModel, named as transformers does. Raises SourceRefused."""
    words, width = section.shape("embeddings.token_embedding.weight", 2)
    return _configuration("CLIPTextModel", published, words, width) | {
        "max_position_embeddings": section.shape("embeddings.position_embedding.weight", 2)[0],
        "num_hidden_layers": section.count("encoder.layers"),
        "intermediate_size": section.shape("encoder.layers.0.mlp.fc1.weight", 2)[0],
    }


def open_clip(section: Section, published: Mapping[str, Any]) -> dict[str, Any]:
    """Of a CLIPTextModelWithProjection, named as OpenCLIP does. Raises SourceRefused."""
    words, width = section.shape("token_embedding.weight", 2)
    return _configuration("CLIPTextModelWithProjection", published, words, width) | {
        "max_position_embeddings": section.shape("positional_embedding", 2)[0],
        "num_hidden_layers": section.count("transformer.resblocks"),
        "intermediate_size": section.shape("transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        "projection_dim": section.shape("text_projection", 2)[1],
    }


def t5(section: Section, published: Mapping[str, Any]) -> dict[str, Any]:
    """Of a T5EncoderModel, named as transformers does. Raises SourceRefused."""
    words, width = section.shape("shared.weight", 2)
    inner = section.shape("encoder.block.0.layer.0.SelfAttention.q.weight", 2)[0]
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        **published,
        "vocab_size": words,
        "d_model": width,
        "d_kv": min(HEAD_WIDTH, inner),
        "num_heads": max(inner // HEAD_WIDTH, 1),
        "d_ff": section.shape("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", 2)[0],
        "num_layers": section.count("encoder.block"),
    }


def _configuration(kind: str, published: Mapping[str, Any], words: int, width: int) -> dict[str, Any]:
    return {
        "architectures": [kind],
        "model_type": "clip_text_model",
        **published,
        "vocab_size": words,
        "hidden_size": width,
        "projection_dim": width,
        "num_attention_heads": max(width // HEAD_WIDTH, 1),
    }
