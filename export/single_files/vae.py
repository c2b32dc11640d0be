"""The configuration of an AutoencoderKL from the shapes of its tensors, in the layout of its training code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from export.single_files.header import Section


def autoencoder(section: Section, published: Mapping[str, Any]) -> dict[str, Any]:
    """Its configuration; `published` are settings that no shape tells. Raises SourceRefused."""
    levels = section.count("encoder.down")
    return {
        "_class_name": "AutoencoderKL",
        **published,
        "in_channels": section.shape("encoder.conv_in.weight", 4)[1],
        "out_channels": section.shape("decoder.conv_out.weight", 4)[0],
        "latent_channels": section.shape("decoder.conv_in.weight", 4)[1],
        "block_out_channels": [
            section.shape(f"encoder.down.{level}.block.0.conv1.weight", 4)[0] for level in range(levels)
        ],
        "layers_per_block": section.count("encoder.down.0.block"),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_quant_conv": section.has("quant_conv.weight"),
        "use_post_quant_conv": section.has("post_quant_conv.weight"),
    }
