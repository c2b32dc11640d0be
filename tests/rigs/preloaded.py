"""What an export imports, all of it: most of the time of a small one. For tests/rigs/forks.py."""

import diffusers
import transformers

import export.__main__
import export.graph_writer
import tests.rigs.tiny_concat

__all__ = ["LATE", "export", "tests"]

LATE = (
    diffusers.AutoencoderKL,
    diffusers.FluxTransformer2DModel,
    diffusers.UNet2DConditionModel,
    transformers.CLIPTextModel,
    transformers.CLIPTextModelWithProjection,
    transformers.T5EncoderModel,
)
"""Both libraries import a class when it is asked for."""
