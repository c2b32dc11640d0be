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
    return lambda found: type(found) is type(value) and bool(found == value)


def _only(*values: str) -> Check:
    return lambda found: isinstance(found, list) and 0 < len(found) <= MOST_LEVELS and all(x in values for x in found)


MOST_LEVELS = 8
"""Resolutions of a network; SD1.5 has 4."""


def _whole(most: int) -> Check:
    """A whole number from 1 to `most`: a bound on the memory that a configuration can ask for."""
    return lambda found: type(found) is int and 0 < found <= most


def _number(least: float, most: float) -> Check:
    return lambda found: type(found) in (int, float) and least <= found <= most


def _flag(found: Any) -> bool:
    return isinstance(found, bool)


def _optional(check: Check) -> Check:
    return lambda found: found is None or check(found)


def _each(check: Check, least: int, most: int) -> Check:
    return lambda found: isinstance(found, list) and least <= len(found) <= most and all(map(check, found))


_WIDTH = _whole(16_384)
_LAYERS = _whole(64)
_CHANNELS = _each(_WIDTH, 1, MOST_LEVELS)


_DOWN = _only("DownBlock2D", "CrossAttnDownBlock2D")
_DENOISER: Mapping[str, Check] = {
    "in_channels": _is(4),
    "down_block_types": _DOWN,
    "block_out_channels": _CHANNELS,
    "layers_per_block": _LAYERS,
    "norm_num_groups": _WIDTH,
    "cross_attention_dim": _WIDTH,
    "sample_size": _optional(_whole(1024)),
    "transformer_layers_per_block": lambda found: _LAYERS(found) or _each(_LAYERS, 1, MOST_LEVELS)(found),
    "time_embedding_dim": _optional(_WIDTH),
    "conv_in_kernel": _whole(9),
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
        "conv_out_kernel": _whole(9),
        "time_cond_proj_dim": _is(None),
        "time_embedding_type": _is("positional"),
        "time_embedding_act_fn": _is(None),
        "timestep_post_act": _is(None),
        "center_input_sample": _is(False),
        "class_embeddings_concat": _is(False),
        "attention_type": _is("default"),
    },
    "ControlNetModel": {
        **_DENOISER,
        "conditioning_channels": _is(3),
        "conditioning_embedding_out_channels": _CHANNELS,
    },
    "AutoencoderKL": {
        "in_channels": _is(3),
        "out_channels": _is(3),
        "latent_channels": _is(4),
        "latents_mean": _is(None),
        "latents_std": _is(None),
        "shift_factor": _is(None),
        "block_out_channels": _each(_WIDTH, 4, 4),
        "layers_per_block": _LAYERS,
        "norm_num_groups": _WIDTH,
        "scaling_factor": _number(1e-6, 1e6),
        "down_block_types": _only("DownEncoderBlock2D"),
        "up_block_types": _only("UpDecoderBlock2D"),
    },
    "CLIPTextModel": {
        "model_type": _is("clip_text_model"),
        "hidden_size": _WIDTH,
        "intermediate_size": _whole(65_536),
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _whole(256),
        "projection_dim": _WIDTH,
        "vocab_size": _whole(1_000_000),
        "max_position_embeddings": _is(77),
        "hidden_act": lambda found: found in ("quick_gelu", "gelu"),
    },
}

SCHEDULER_CHECKS: Mapping[str, Check] = {
    "num_train_timesteps": _whole(100_000),
    "beta_start": _number(0, 1),
    "beta_end": _number(0, 1),
    "beta_schedule": lambda found: found in ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "trained_betas": _optional(_each(_number(0, 1), 1, 100_000)),
    "prediction_type": lambda found: found in ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": lambda found: found in ("leading", "linspace", "trailing"),
    "steps_offset": lambda found: type(found) is int and 0 <= found <= 1000,
    **dict.fromkeys(("set_alpha_to_one", "clip_sample", "rescale_betas_zero_snr", "skip_prk_steps"), _flag),
    **dict.fromkeys(("thresholding", "use_karras_sigmas"), _optional(_flag)),
}
"""Settings of a model's scheduler_config.json that every loop reads; the others are a scheduler's own."""

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
