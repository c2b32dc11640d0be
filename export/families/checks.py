"""The vocabulary of checks for a source's configuration files, and what is alike in all families.

Every name that could choose code is compared with an allow-list before any library reads the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]
"""Whether the value of a setting is one that the graphs compute."""

MOST_LEVELS = 8
"""Resolutions of a network; SD1.5 has 4."""


def exactly(value: Any) -> Check:
    return lambda found: type(found) is type(value) and bool(found == value)


def one_of(*values: Any) -> Check:
    return lambda found: any(exactly(value)(found) for value in values)


def only(*values: str) -> Check:
    return lambda found: isinstance(found, list) and 0 < len(found) <= MOST_LEVELS and all(x in values for x in found)


def whole(most: int, least: int = 1) -> Check:
    """A whole number from `least` to `most`: a bound on the memory that a configuration can ask for."""
    return lambda found: type(found) is int and least <= found <= most


def number(least: float, most: float) -> Check:
    return lambda found: type(found) in (int, float) and least <= found <= most


def flag(found: Any) -> bool:
    return isinstance(found, bool)


def optional(check: Check) -> Check:
    return lambda found: found is None or check(found)


def each(check: Check, least: int, most: int) -> Check:
    return lambda found: isinstance(found, list) and least <= len(found) <= most and all(map(check, found))


WIDTH = whole(16_384)
LAYERS = whole(64)
CHANNELS = each(WIDTH, 1, MOST_LEVELS)

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

SCHEDULER_CHECKS: Mapping[str, Check] = {
    "num_train_timesteps": whole(100_000),
    "beta_start": number(0, 1),
    "beta_end": number(0, 1),
    "beta_schedule": lambda found: found in ("linear", "scaled_linear", "squaredcos_cap_v2"),
    "trained_betas": optional(each(number(0, 1), 1, 100_000)),
    "prediction_type": lambda found: found in ("epsilon", "v_prediction", "sample"),
    "timestep_spacing": lambda found: found in ("leading", "linspace", "trailing"),
    "steps_offset": lambda found: type(found) is int and 0 <= found <= 1000,
    **dict.fromkeys(("set_alpha_to_one", "clip_sample", "rescale_betas_zero_snr", "skip_prk_steps"), flag),
    **dict.fromkeys(("thresholding", "use_karras_sigmas"), optional(flag)),
}
"""Settings of a model's scheduler_config.json that every loop reads; the others are a scheduler's own."""

AUTOENCODER: Mapping[str, Check] = {
    "in_channels": exactly(3),
    "out_channels": exactly(3),
    "block_out_channels": each(WIDTH, 4, 4),
    "layers_per_block": LAYERS,
    "norm_num_groups": WIDTH,
    "scaling_factor": number(1e-6, 1e6),
    "down_block_types": only("DownEncoderBlock2D"),
    "up_block_types": only("UpDecoderBlock2D"),
}
"""Of an AutoencoderKL whose cells are 8 pixels wide; families add channels, shift and means."""

CLIP: Mapping[str, Check] = {
    "model_type": exactly("clip_text_model"),
    "hidden_size": WIDTH,
    "intermediate_size": whole(65_536),
    "num_hidden_layers": LAYERS,
    "num_attention_heads": whole(256),
    "projection_dim": WIDTH,
    "vocab_size": whole(1_000_000),
    "max_position_embeddings": exactly(77),
    "hidden_act": one_of("quick_gelu", "gelu"),
}

T5: Mapping[str, Check] = {
    "model_type": exactly("t5"),
    "d_model": WIDTH,
    "d_kv": WIDTH,
    "d_ff": whole(65_536),
    "num_layers": LAYERS,
    "num_heads": whole(256),
    "vocab_size": whole(1_000_000),
    "relative_attention_num_buckets": whole(1024),
    "relative_attention_max_distance": whole(4096),
    "feed_forward_proj": one_of("gated-gelu", "relu"),
}

T5_SETTINGS = frozenset(
    {
        "d_ff",
        "d_kv",
        "d_model",
        "feed_forward_proj",
        "layer_norm_epsilon",
        "num_heads",
        "num_layers",
        "relative_attention_max_distance",
        "relative_attention_num_buckets",
        "vocab_size",
    }
)
"""The only settings of a T5 encoder's config.json that reach transformers."""

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
