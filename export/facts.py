"""Derive `ModelFacts` from the source's configuration files, without weights."""

from __future__ import annotations

from collections.abc import Sequence

from export import sd15, tokens
from export.errors import SourceRefused
from export.hostile import refusing, shown
from export.source import Source
from families.annotators import folder_name
from families.manifest import ModelFacts, is_name

ANNOTATORS = folder_name("")
"""Prefix of annotators' folders; a model with such a name would write its graphs among them."""


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


def facts_of(source: Source, name: str) -> ModelFacts:
    """The facts of the model `name`. Raises SourceRefused for an unusable name or tokenizer."""
    with refusing("source"):
        return _facts(source, name)


def _facts(source: Source, name: str) -> ModelFacts:
    if not is_name(name):
        raise SourceRefused(
            f"{shown(name)} is not a valid name: use at most 64 lower-case letters, digits and single '-' or '_'"
        )
    if f"{name}_".startswith(ANNOTATORS):
        raise SourceRefused(
            f"{name!r} is not available: names that begin with {ANNOTATORS!r} are for annotators; give another --name"
        )
    unet, vae, text = source.unet.config, source.vae.config, source.text_encoder.config
    downscale = 2 ** (len(vae["block_out_channels"]) - 1)
    ids = tokens.special_ids(source.tokenizer)
    if max(ids.values()) >= text["vocab_size"]:
        raise SourceRefused(
            f"tokenizer and text encoder do not match: token {max(ids.values())} for {text['vocab_size']} embeddings"
        )
    try:
        return ModelFacts(
            name=name,
            family=sd15.FAMILY,
            native_size=int(unet.get("sample_size") or 64) * downscale,
            latent_channels=vae.get("latent_channels", 4),
            downscale=downscale,
            text_tokens=text.get("max_position_embeddings", 77),
            text_width=text["hidden_size"],
            text_layers=text["num_hidden_layers"],
            pad_token_id=ids["pad"],
            bos_token_id=ids["bos"],
            eos_token_id=ids["eos"],
            residuals=residuals(unet["block_out_channels"], unet["layers_per_block"]),
            controls=tuple(sorted(source.controlnets)),
            pooled_controls=tuple(
                kind for kind, part in sorted(source.controlnets.items()) if part.config.get("global_pool_conditions")
            ),
            scheduler=dict(source.scheduler),
        )
    except ValueError as error:
        raise SourceRefused(str(error)) from error
