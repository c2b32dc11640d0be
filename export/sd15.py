"""Requirements for a source of the SD1.5 family: the tables against which `export.source` checks its files.

Every name that could choose code is compared with an allow-list before any library reads the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FAMILY = "sd15"
EXPECTED = (
    "Expected is an SD1.5-shaped pipeline: one CLIPTextModel, a UNet2DConditionModel with 4 input channels, "
    "an AutoencoderKL with 4 latent channels and a factor of 8."
)

PIPELINES = frozenset(
    {
        "StableDiffusionPipeline",
        "StableDiffusionControlNetPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
    }
)
"""`_class_name` of model_index.json. An inpaint pipeline passes only if its UNet has 4 input channels."""

SCHEDULERS = frozenset(
    {
        "DDIMScheduler",
        "DDPMScheduler",
        "DEISMultistepScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler",
        "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        "LCMScheduler",
        "LMSDiscreteScheduler",
        "PNDMScheduler",
        "UniPCMultistepScheduler",
    }
)

PARTS: Mapping[str, str] = {
    "text_encoder": "CLIPTextModel",
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
}
"""Sub-folder of the source -> the only class that it may name."""

CONTROLNET = "ControlNetModel"

Check = Callable[[Any], bool]


def _is(value: Any) -> Check:
    return lambda found: bool(found == value)


def _only(*values: str) -> Check:
    return lambda found: isinstance(found, list) and bool(found) and set(found) <= set(values)


def _whole(found: Any) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and found > 0


_DOWN = _only("DownBlock2D", "CrossAttnDownBlock2D")
_DENOISER: Mapping[str, Check] = {
    "in_channels": _is(4),
    "down_block_types": _DOWN,
    "layers_per_block": _whole,
    "norm_num_groups": _whole,
    "cross_attention_dim": _whole,
    "addition_embed_type": _is(None),
    "class_embed_type": _is(None),
    "encoder_hid_dim_type": _is(None),
    "encoder_hid_dim": _is(None),
    "num_class_embeds": _is(None),
    "mid_block_type": _is("UNetMidBlock2DCrossAttn"),
}

# Setting -> check of its value. A missing setting has the library's default, which is valid, except for those in
# REQUIRED.
CHECKS: Mapping[str, Mapping[str, Check]] = {
    "UNet2DConditionModel": {
        **_DENOISER,
        "out_channels": _is(4),
        "up_block_types": _only("UpBlock2D", "CrossAttnUpBlock2D"),
        "time_cond_proj_dim": _is(None),
        "time_embedding_type": _is("positional"),
        "time_embedding_act_fn": _is(None),
        "timestep_post_act": _is(None),
        "center_input_sample": _is(False),
        "class_embeddings_concat": _is(False),
        "attention_type": _is("default"),
    },
    "ControlNetModel": {**_DENOISER, "conditioning_channels": _is(3)},
    "AutoencoderKL": {
        "in_channels": _is(3),
        "out_channels": _is(3),
        "latent_channels": _is(4),
        "latents_mean": _is(None),
        "latents_std": _is(None),
        "shift_factor": _is(None),
        "block_out_channels": lambda found: isinstance(found, list) and len(found) == 4,
        "down_block_types": _only("DownEncoderBlock2D"),
        "up_block_types": _only("UpDecoderBlock2D"),
    },
    "CLIPTextModel": {
        "model_type": _is("clip_text_model"),
        "hidden_size": _whole,
        "num_hidden_layers": _whole,
        "max_position_embeddings": _is(77),
        "hidden_act": lambda found: found in ("quick_gelu", "gelu"),
    },
}

REQUIRED: Mapping[str, frozenset[str]] = {
    "UNet2DConditionModel": frozenset({"block_out_channels", "layers_per_block", "cross_attention_dim"}),
    "ControlNetModel": frozenset({"block_out_channels", "layers_per_block", "cross_attention_dim"}),
    "AutoencoderKL": frozenset({"block_out_channels", "scaling_factor"}),
    "CLIPTextModel": frozenset({"hidden_size", "num_hidden_layers", "vocab_size"}),
}

CLIP_SETTINGS = frozenset(
    {
        "attention_dropout",
        "bos_token_id",
        "eos_token_id",
        "hidden_act",
        "hidden_size",
        "initializer_factor",
        "initializer_range",
        "intermediate_size",
        "layer_norm_eps",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
        "pad_token_id",
        "projection_dim",
        "vocab_size",
    }
)
"""The only settings of a text encoder's config.json that reach transformers: other keys may name code to import."""

SAME_IN_CONTROLNET = ("block_out_channels", "layers_per_block", "cross_attention_dim", "down_block_types")
"""Settings in which a ControlNet must equal its UNet."""
