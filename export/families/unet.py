"""What families with diffusers' UNet2DConditionModel have in common: checks, shapes of residuals, facts of nets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from export import tokens
from export.errors import Misfit, SourceRefused
from export.families import checks
from export.families.checks import Check
from export.families.family import ExportFamily
from export.hostile import shown
from export.parts import Part, Source
from families.facts import Encoder, ModelFacts, Net, skips

DOWN = checks.only("DownBlock2D", "CrossAttnDownBlock2D")
UP = checks.only("UpBlock2D", "CrossAttnUpBlock2D")

NETWORK: Mapping[str, Check] = {
    "down_block_types": DOWN,
    "block_out_channels": checks.CHANNELS,
    "layers_per_block": checks.LAYERS,
    "norm_num_groups": checks.WIDTH,
    "cross_attention_dim": checks.WIDTH,
    "sample_size": checks.optional(checks.whole(1024)),
    "transformer_layers_per_block": lambda found: (
        checks.LAYERS(found) or checks.each(checks.LAYERS, 1, checks.MOST_LEVELS)(found)
    ),
    "time_embedding_dim": checks.optional(checks.WIDTH),
    "conv_in_kernel": checks.whole(9),
    "class_embed_type": checks.exactly(None),
    "encoder_hid_dim_type": checks.exactly(None),
    "encoder_hid_dim": checks.exactly(None),
    "num_class_embeds": checks.exactly(None),
}
"""Settings that UNets and ControlNets share."""

UNET: Mapping[str, Check] = {
    "out_channels": checks.exactly(4),
    "up_block_types": UP,
    "mid_block_type": checks.exactly("UNetMidBlock2DCrossAttn"),
    "conv_out_kernel": checks.whole(9),
    "time_embedding_type": checks.exactly("positional"),
    "time_embedding_act_fn": checks.exactly(None),
    "timestep_post_act": checks.exactly(None),
    "center_input_sample": checks.exactly(False),
    "class_embeddings_concat": checks.exactly(False),
    "attention_type": checks.exactly("default"),
}

CONTROLNET: Mapping[str, Check] = {
    "in_channels": checks.exactly(4),
    "conditioning_channels": checks.exactly(3),
    "conditioning_embedding_out_channels": checks.CHANNELS,
}

VAE: Mapping[str, Check] = {
    **checks.AUTOENCODER,
    "latent_channels": checks.exactly(4),
    "latents_mean": checks.exactly(None),
    "latents_std": checks.exactly(None),
    "shift_factor": checks.exactly(None),
}

SHAPE = frozenset({"block_out_channels", "layers_per_block", "cross_attention_dim"})
"""Settings without which a network has no shape."""


def residuals(block_out_channels: Sequence[int], layers_per_block: int) -> tuple[tuple[int, int], ...]:
    """(channels, stride) of each tensor that a ControlNet gives the UNet, in diffusers' order, the mid block last.

    One comes from the first convolution, one from each layer of a down block, one from each downsampler (the last
    block has none): 12 + 1 for Stable Diffusion 1.5.
    """
    rows = [(block_out_channels[0], 1)]
    for level, channels in enumerate(block_out_channels):
        rows += [(channels, 2**level)] * layers_per_block
        if level < len(block_out_channels) - 1:
            rows.append((channels, 2 ** (level + 1)))
    return (*rows, (block_out_channels[-1], 2 ** (len(block_out_channels) - 1)))


def clip_encoder(source: Source, folder: str, tokenizer: str, file: str) -> Encoder:
    """Facts of a CLIP text encoder and its tokenizer, which the export writes as `file`.

    Raises SourceRefused if the tokenizer's files are unreadable or do not fit.
    """
    config = source.parts[folder].config
    ids = tokens.special_ids(source.tokenizers[tokenizer])
    if max(ids.values()) >= config["vocab_size"]:
        raise SourceRefused(
            f"tokenizer and text encoder do not match: token {max(ids.values())} for {config['vocab_size']} embeddings"
        )
    return Encoder(
        length=config.get("max_position_embeddings", 77),
        width=config["hidden_size"],
        layers=config["num_hidden_layers"],
        pad=ids["pad"],
        bos=ids["bos"],
        eos=ids["eos"],
        tokenizer=file,
    )


class UNetFamily(ExportFamily):
    """A family with a UNet2DConditionModel, ControlNetModels and an AutoencoderKL."""

    same_in_controlnet: ClassVar[tuple[str, ...]]
    """Settings in which a ControlNet must equal its UNet."""

    def check_net(self, config: Mapping[str, Any], source: Source, name: str) -> None:
        unet = source.parts["unet"].config
        for key in self.same_in_controlnet:
            if key in config and key in unet and config[key] != unet[key]:
                raise SourceRefused(
                    f"controlnet {name}: {key} is {shown(config[key])} but the UNet has {shown(unet[key])}: it belongs "
                    "to another model"
                )

    def check_fit(self, config: Mapping[str, Any], facts: ModelFacts, label: str) -> None:
        shape = skips(residuals(config["block_out_channels"], config["layers_per_block"]))
        if shape != facts.residuals or config["cross_attention_dim"] != facts.text_width:
            raise Misfit(
                f"{label} belongs to another family of models than {facts.name!r}: it has text width "
                f"{config['cross_attention_dim']} and residuals of {[dims[1] for dims in shape]} channels; "
                f"the model has {facts.text_width} and {[dims[1] for dims in facts.residuals]}"
            )

    def net(self, part: Part, name: str) -> Net:
        return Net(name=name, kinds={name: None}, pooled=bool(part.config.get("global_pool_conditions")))
