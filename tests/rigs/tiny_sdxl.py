"""A random SDXL-shaped model in a diffusers folder, for tests: the real architecture, a thousandth of the size.

`make` writes one: three levels, 9 + 1 residuals, text_time embeddings, two encoders
whose tokenizers pad otherwise. Its ControlNets: `canny`, `depth`, `scribble` without attention and vector, and `union`,
which takes the other kinds of xinsir's ProMax.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    ControlNetModel,
    ControlNetUnionModel,
    EulerDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from tests.rigs.tiny_layers import awaken, clip, clip_tokenizer, vae

WIDTHS, POOLED, NUMBER_WIDTH = (32, 48), 40, 8
_LEVELS: dict[str, Any] = {
    "block_out_channels": (32, 32, 64),
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "cross_attention_dim": sum(WIDTHS),
}
_ATTENTION: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "attention_head_dim": (2, 4, 8),
    "use_linear_projection": True,
}
_VECTOR: dict[str, Any] = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": NUMBER_WIDTH,
    "projection_class_embeddings_input_dim": POOLED + 6 * NUMBER_WIDTH,
}
NETS = ("canny", "depth", "scribble", "union")
_HINT: dict[str, Any] = {"conditioning_embedding_out_channels": (8, 8, 16, 16)}


def make(
    folder: Path,
    seed: int = 0,
    prediction_type: str = "epsilon",
    in_channels: int = 4,
    controls: Sequence[str] = NETS,
    **changes: Any,
) -> Path:
    """Write a model with the ControlNets `controls` into `folder` and return it; `changes` are settings of its UNet."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        first, second = clip_tokenizer(), clip_tokenizer(pad_token="!")
        unet = _unet(in_channels, **changes)
        pipeline: Any = StableDiffusionXLPipeline(
            vae=vae(scaling_factor=0.13025),
            text_encoder=clip(first, WIDTHS[0]),
            text_encoder_2=clip(second, WIDTHS[1], POOLED, "gelu"),
            tokenizer=first,
            tokenizer_2=second,
            unet=unet,
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                timestep_spacing="leading",
                steps_offset=1,
                prediction_type=prediction_type,
            ),
            add_watermarker=False,
        )
        nets = _nets() if controls else {}
    pipeline.save_pretrained(folder, safe_serialization=True)
    for name in controls:
        nets[name].save_pretrained(folder / f"controlnet-{name}", safe_serialization=True)
    return folder


def _unet(in_channels: int, **changes: Any) -> Any:
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=in_channels,
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        **_LEVELS,
        **_ATTENTION,
        **_VECTOR,
        **changes,
    ).eval()
    added = {"text_embeds": torch.randn(2, POOLED), "time_ids": 100 * torch.rand(2, 6)}
    condition = torch.randn(2, changes["time_cond_proj_dim"]) if "time_cond_proj_dim" in changes else None
    sample, text = torch.randn(2, in_channels, 16, 16), torch.randn(2, 77, sum(WIDTHS))
    out = unet(sample, 500, text, timestep_cond=condition, added_cond_kwargs=added).sample
    unet.conv_out.weight.div_(out.std())
    return unet


def _nets() -> dict[str, Any]:
    plain = {"down_block_types": ("DownBlock2D",) * 3, "mid_block_type": "UNetMidBlock2D"}
    nets: dict[str, Any] = {
        "canny": ControlNetModel(**_LEVELS, **_ATTENTION, **_VECTOR, **_HINT),
        "depth": ControlNetModel(**_LEVELS, **_ATTENTION, **_VECTOR, **_HINT),
        "scribble": ControlNetModel(**_LEVELS, **plain, **_HINT),
        "union": ControlNetUnionModel(
            **_LEVELS,
            **_ATTENTION,
            **_VECTOR,
            **_HINT,
            num_control_type=8,
            num_trans_channel=32,
            num_trans_head=4,
            num_proj_channel=32,
        ),
    }
    for net in nets.values():
        awaken(net.eval(), 0.3)
    torch.nn.init.normal_(nets["union"].spatial_ch_projs.weight, std=0.3)
    return nets
