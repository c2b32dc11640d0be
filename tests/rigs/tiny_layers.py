"""What tiny random models of every family are made of: parts of the real architectures whose numbers spread as those of
trained ones do, so that a wrong picture, text, hint or scale makes another picture."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch.nn.functional import interpolate
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

TOKENIZER = Path(__file__).parents[2] / "demo" / "weights" / "tokenizer"
"""The demo's: byte-level BPE in CLIP's format, some 700 tokens."""


def clip_tokenizer(**changes: Any) -> Any:
    """A CLIP tokenizer of few words."""
    return CLIPTokenizer.from_pretrained(TOKENIZER, local_files_only=True, **changes)


def clip(
    tokenizer: Any, width: int, projection: int | None = None, activation: str = "quick_gelu", heads: int = 4
) -> Any:
    """A CLIP text encoder of three layers; with a projection of its pooled state if `projection` says how wide."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=heads,
        hidden_act=activation,
        projection_dim=projection or width,
        # Larger than CLIP's 0.02: at this width that would leave the words without weight.
        initializer_range=0.3,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def vae(channels: int = 4, **settings: Any) -> Any:
    """An AutoencoderKL whose pictures spread by 0.5 in [-1, 1], and whose latents have mean 0 and standard deviation 1
    with a posterior a tenth as wide."""
    usual: dict[str, Any] = {"block_out_channels": (16, 16, 32, 32), "norm_num_groups": 8, "sample_size": 128}
    made = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=channels,
        **(usual | settings),
    ).eval()
    scale = made.config.scaling_factor
    picture = made.decode(torch.randn(2, channels, 16, 16) / scale).sample
    made.decoder.conv_out.weight.mul_(0.5 / picture.std())
    layer: Any = made.quant_conv if made.quant_conv is not None else made.encoder.conv_out
    posterior = made.encode(blocks(4, -1, 1)).latent_dist
    spread = posterior.mean.std(dim=(0, 2, 3)) * scale
    layer.bias[:channels].sub_(posterior.mean.mean(dim=(0, 2, 3))).div_(spread)
    layer.weight[:channels].div_(spread[:, None, None, None])
    layer.bias[channels:].sub_(2 * (posterior.std.mean() * scale * 10).log())
    return made


def awaken(net: Any, std: float) -> None:
    """Give a ControlNet output layers that are not zero, and embedded hints of mean 0 and standard deviation 1: left as
    they are made, one hint is much like another."""
    embedding = net.controlnet_cond_embedding
    zeros = [*net.controlnet_down_blocks, net.controlnet_mid_block, embedding.conv_out]
    for layer in zeros:
        torch.nn.init.normal_(layer.weight, std=std)
    embedded = embedding(blocks(8, 0, 1))
    spread = embedded.std(dim=(0, 2, 3))
    embedding.conv_out.bias.sub_(embedded.mean(dim=(0, 2, 3))).div_(spread)
    embedding.conv_out.weight.div_(spread[:, None, None, None])


def blocks(count: int, low: float, high: float, side: int = 16) -> Any:
    """Pictures [count, 3, 8 * side, 8 * side] in blocks of 8 px, each of a random colour from `low` to `high`."""
    return interpolate(low + (high - low) * torch.rand(count, 3, side, side), scale_factor=8)
