"""What the configurations of a FLUX-shaped model may say."""

from collections.abc import Mapping

from export.families import checks
from export.families.checks import Check

PATCH = 2
CELL = 8
"""Pixels on each side of a latent cell."""
# The unions of InstantX and Shakker Labs know these kinds, in the order of their modes.
MODES: tuple[tuple[str, ...], ...] = (
    ("canny",),
    ("tile",),
    ("depth",),
    ("blur",),
    ("openpose",),
    ("gray",),
    ("low_quality",),
)
WORDS = 512
"""Tokens that T5 reads of a prompt; models without guidance (schnell) were trained on half of them."""
_TRANSFORMER: Mapping[str, Check] = {
    "patch_size": checks.exactly(1),
    "num_layers": checks.whole(128, least=0),
    "num_single_layers": checks.whole(128, least=0),
    "attention_head_dim": checks.whole(1024),
    "num_attention_heads": checks.whole(256),
    "joint_attention_dim": checks.WIDTH,
    "pooled_projection_dim": checks.WIDTH,
    "guidance_embeds": checks.flag,
    "axes_dims_rope": checks.each(checks.whole(1024), 3, 3),
}
_SHAPE = frozenset(
    {"num_layers", "num_single_layers", "attention_head_dim", "num_attention_heads", "joint_attention_dim"}
)

SCHEDULER: Mapping[str, Check] = {
    "num_train_timesteps": checks.exactly(1000),
    "shift": checks.number(0.01, 100),
    "base_shift": checks.optional(checks.number(-10, 10)),
    "max_shift": checks.optional(checks.number(-10, 10)),
    "base_image_seq_len": checks.optional(checks.whole(1_000_000)),
    "max_image_seq_len": checks.optional(checks.whole(1_000_000)),
    "use_dynamic_shifting": checks.flag,
    "invert_sigmas": checks.exactly(False),
    "shift_terminal": checks.exactly(None),
    "stochastic_sampling": checks.exactly(False),
    "time_shift_type": checks.one_of("exponential", "linear"),
    **dict.fromkeys(("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"), checks.one_of(None, False)),
}

SETTINGS: Mapping[str, Mapping[str, Check]] = {
    "FluxTransformer2DModel": {**_TRANSFORMER, "in_channels": checks.whole(4096)},
    "FluxControlNetModel": {
        **_TRANSFORMER,
        "in_channels": checks.whole(4096),
        "num_mode": checks.optional(checks.whole(len(MODES))),
        # XLabs' nets read pixels.
        "conditioning_embedding_channels": checks.exactly(None),
    },
    "AutoencoderKL": {
        **checks.AUTOENCODER,
        "latent_channels": checks.whole(64),
        "latents_mean": checks.exactly(None),
        "latents_std": checks.exactly(None),
        "shift_factor": checks.optional(checks.number(-100, 100)),
    },
    "CLIPTextModel": checks.CLIP,
    "T5EncoderModel": checks.T5,
}
REQUIRED: Mapping[str, frozenset[str]] = {
    "FluxTransformer2DModel": _SHAPE | {"in_channels", "pooled_projection_dim"},
    "FluxControlNetModel": _SHAPE | {"in_channels", "pooled_projection_dim"},
    "AutoencoderKL": frozenset({"block_out_channels", "scaling_factor", "latent_channels"}),
    "CLIPTextModel": frozenset({"hidden_size", "num_hidden_layers", "vocab_size"}),
    "T5EncoderModel": frozenset({"d_model", "num_layers", "vocab_size"}),
}
