"""What families with diffusers' UNet2DConditionModel have in common: checks, shapes of residuals, facts of nets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec.structs import replace

from export import tokens
from export.errors import Misfit, SourceRefused
from export.families import checks, few_steps
from export.families.checks import Check
from export.families.family import ExportFamily, Row
from export.hostile import shown
from export.parts import Modules, Part, Source
from families import graphs as names
from families.defaults import Defaults
from families.facts import Concat, Encoder, ModelFacts, Net, skips
from families.tensors import Dim

if TYPE_CHECKING:
    from torch import Tensor, nn

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

_LATENTS = 4
_MASKED = _LATENTS + 1 + _LATENTS
"""Channels of a UNet that reads the latents, a mask and the masked picture."""

UNET: Mapping[str, Check] = {
    "in_channels": checks.one_of(_LATENTS, _MASKED),
    "out_channels": checks.exactly(_LATENTS),
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
    "in_channels": checks.exactly(_LATENTS),
    "conditioning_channels": checks.exactly(3),
    "conditioning_embedding_out_channels": checks.CHANNELS,
}

VAE: Mapping[str, Check] = {
    **checks.AUTOENCODER,
    "latent_channels": checks.exactly(_LATENTS),
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


def concat_of(network: Mapping[str, Any]) -> Concat | None:
    """What the UNet of this configuration reads beside the latents."""
    return Concat() if network.get("in_channels", _LATENTS) == _MASKED else None


def clip_encoders(source: Source, folders: Sequence[str], layers_left_out: int = 0) -> tuple[Encoder, ...]:
    """Facts of the CLIP text encoders in `folders`, each with the source's tokenizer at the same place.

    `layers_left_out` are never read. Raises SourceRefused if a tokenizer's files are unreadable or do not fit.
    """
    return tuple(
        _clip_encoder(source.parts[folder].config, tokenizer, name, layers_left_out)
        for folder, (name, tokenizer) in zip(folders, source.tokenizers.items(), strict=True)
    )


def _clip_encoder(config: Mapping[str, Any], tokenizer: Path, name: str, layers_left_out: int) -> Encoder:
    ids = tokens.special_ids(tokenizer)
    if max(ids.values()) >= config["vocab_size"]:
        raise SourceRefused(
            f"tokenizer and text encoder do not match: token {max(ids.values())} for {config['vocab_size']} embeddings"
        )
    return Encoder(
        length=config.get("max_position_embeddings", 77),
        width=config["hidden_size"],
        layers=config["num_hidden_layers"] - layers_left_out,
        pad=ids["pad"],
        bos=ids["bos"],
        eos=ids["eos"],
        tokenizer=f"{name}.json",
    )


def misfit(label: str, facts: ModelFacts, width: int | None, shape: Sequence[Sequence[Dim]]) -> str:
    """Says that a ControlNet does not fit: its text is so wide (None: it reads none), its residuals have this shape."""
    words = f"text width {width} and " if width else ""
    return (
        f"{label} belongs to another family of models than {facts.name!r}: it has {words}residuals of "
        f"{[dims[1] for dims in shape]} channels; the model has {facts.text_width} and "
        f"{[dims[1] for dims in facts.residuals]}"
    )


def _without(net: Net, kinds: Collection[str]) -> Net | None:
    """A union without `kinds`; None if it has no other."""
    kept = {kind: mode for kind, mode in net.kinds.items() if kind not in kinds}
    return replace(net, kinds=kept) if kept else None


class UNetFamily(ExportFamily):
    """A family with a UNet2DConditionModel, ControlNetModels and an AutoencoderKL."""

    same_in_controlnet: ClassVar[tuple[str, ...]]
    """Settings in which a ControlNet must equal its UNet."""

    def suited(self, source: Source) -> Defaults:
        return few_steps.suited(source.scheduler, source.parts["unet"].config)

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
            raise Misfit(misfit(label, facts, config["cross_attention_dim"], shape))

    def net(self, part: Part, name: str) -> Net:
        return Net(name=name, kinds={name: None}, pooled=bool(part.config.get("global_pool_conditions")))

    def nets(self, source: Source) -> tuple[Net, ...]:
        """Facts of all ControlNets of a source. A kind that several take goes to the one that takes nothing else."""
        nets = [self.net(part, name) for name, part in sorted(source.controlnets.items())]
        alone = {kind for net in nets if not net.union for kind in net.kinds}
        taken = [net if not net.union else _without(net, alone) for net in nets]
        return tuple(net for net in taken if net is not None)

    def no_control(self, facts: ModelFacts, modules: Modules) -> nn.Module:
        from export.graphs import residuals

        return residuals.NoControl(facts.residuals)

    def denoiser_row(self, facts: ModelFacts, modules: Modules) -> Row:
        from export.graphs import unet as denoiser

        network, part = modules.parts["unet"], names.part(facts, names.unet(facts.name))
        return Row(
            part, denoiser.UNet(network, part.input_names), partial(denoiser.reference, network, part.input_names)
        )

    def net_row(self, facts: ModelFacts, net: Net, module: Any) -> Row:
        from export.graphs import controlnet

        part = names.part(facts, names.controlnet(facts.name, net.name))
        return Row(
            part,
            controlnet.ControlNet(module, part.input_names, masked=net.channels == 4),
            partial(controlnet.reference, module, part.input_names),
        )

    def step(self, facts: ModelFacts, modules: Modules, nets: Sequence[str], inputs: Mapping[str, Tensor]) -> Tensor:
        from export.graphs import unet as denoiser

        added: dict[str, Any] = {}
        if nets:
            down, middle = self.steered(modules, nets, inputs)
            added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        return denoiser.step(modules.parts["unet"], inputs, added)

    def steered(self, modules: Modules, nets: Sequence[str], inputs: Mapping[str, Tensor]) -> tuple[Any, Any]:
        """Residuals of the down blocks and of the mid block by diffusers' MultiControlNetModel."""
        from diffusers import MultiControlNetModel

        from export.graphs import controlnet, rows
        from export.graphs import unet as denoiser

        count, models = inputs["text"].shape[1], [modules.controlnets[net] for net in nets]
        hints = [inputs[names.hint(place)] for place in range(len(nets))]
        # One weight a control here, whatever residual and row: that is all diffusers' class can.
        scales = [float(inputs[names.scale(place)].flatten()[0]) for place in range(len(nets))]
        conditions = denoiser.conditions(modules.parts["unet"], inputs)
        conditions.pop("timestep_cond", None)
        down, middle = MultiControlNetModel(models)(
            rows.repeat(inputs["sample"], count),
            rows.repeat(inputs["timestep"], count).reshape(-1),
            encoder_hidden_states=rows.merge(inputs["text"]),
            controlnet_cond=[rows.repeat(controlnet.conditioning(hint), count) for hint in hints],
            conditioning_scale=scales,
            return_dict=False,
            **conditions,
        )
        return down, middle

    def written_for_graphs(self, module: nn.Module) -> AbstractContextManager[None]:
        from export.graphs import attention

        return attention.written_for_graphs(module)
