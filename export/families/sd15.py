"""Stable Diffusion 1.5 and what is shaped like it: one CLIPTextModel, a UNet2DConditionModel, an AutoencoderKL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any

from export.errors import SourceRefused
from export.families import checks, unet
from export.families.family import Row
from export.parts import Modules, Part, Source
from families import graphs as names
from families.facts import ModelFacts, Net, skips
from families.sd15 import SD15

if TYPE_CHECKING:
    from torch import Tensor, nn

_NETWORK: Mapping[str, checks.Check] = {
    **unet.NETWORK,
    "in_channels": checks.exactly(4),
    "mid_block_type": checks.exactly("UNetMidBlock2DCrossAttn"),
    "addition_embed_type": checks.exactly(None),
}


class Sd15(unet.UNetFamily):
    """See the module."""

    name = SD15.name
    shape = "SD1.5-shaped"
    expected = (
        "Expected is an SD1.5-shaped pipeline: one CLIPTextModel, a UNet2DConditionModel with 4 input channels, "
        "an AutoencoderKL with 4 latent channels and a factor of 8."
    )
    # An inpaint pipeline passes only if its UNet has 4 input channels.
    pipelines = frozenset(
        {
            "StableDiffusionPipeline",
            "StableDiffusionControlNetPipeline",
            "StableDiffusionImg2ImgPipeline",
            "StableDiffusionInpaintPipeline",
        }
    )
    schedulers = checks.SCHEDULERS
    scheduler_checks = checks.SCHEDULER_CHECKS
    parts: Mapping[str, str] = {
        "text_encoder": "CLIPTextModel",
        "unet": "UNet2DConditionModel",
        "vae": "AutoencoderKL",
    }
    tokenizers = ("tokenizer",)
    controlnets = frozenset({"ControlNetModel"})
    settings: Mapping[str, Mapping[str, checks.Check]] = {
        "UNet2DConditionModel": {**_NETWORK, **unet.UNET, "time_cond_proj_dim": checks.exactly(None)},
        "ControlNetModel": {**_NETWORK, **unet.CONTROLNET},
        "AutoencoderKL": unet.VAE,
        "CLIPTextModel": checks.CLIP,
    }
    required: Mapping[str, frozenset[str]] = {
        "UNet2DConditionModel": unet.SHAPE,
        "ControlNetModel": unet.SHAPE,
        "AutoencoderKL": frozenset({"block_out_channels", "scaling_factor"}),
        "CLIPTextModel": frozenset({"hidden_size", "num_hidden_layers", "vocab_size"}),
    }
    same_in_controlnet = ("block_out_channels", "layers_per_block", "cross_attention_dim", "down_block_types")

    def check(self, source: Source) -> None:
        words, network = source.parts["text_encoder"].config, source.parts["unet"].config
        if words["hidden_size"] != network["cross_attention_dim"]:
            raise SourceRefused(
                f"the text encoder is {words['hidden_size']} wide but the UNet expects "
                f"{network['cross_attention_dim']}: these parts are not of the same model"
            )

    def facts(self, source: Source, name: str) -> ModelFacts:
        network, vae = source.parts["unet"].config, source.parts["vae"].config
        downscale = 2 ** (len(vae["block_out_channels"]) - 1)
        encoder = unet.clip_encoder(source, "text_encoder", "tokenizer", "tokenizer.json")
        return ModelFacts(
            name=name,
            family=self.name,
            native_size=int(network.get("sample_size") or 64) * downscale,
            latent_channels=vae.get("latent_channels", 4),
            downscale=downscale,
            encoders=(encoder,),
            text_tokens=encoder.length,
            text_width=encoder.width,
            residuals=skips(unet.residuals(network["block_out_channels"], network["layers_per_block"])),
            nets=tuple(self.net(part, kind) for kind, part in sorted(source.controlnets.items())),
            scheduler=dict(source.scheduler),
        )

    def load(self, source: Source) -> Modules:
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel

        from export import load

        parts = source.parts
        with load.quietly():
            return Modules(
                parts={
                    "text_encoder": load.clip(CLIPTextModel, parts["text_encoder"], "text_encoder"),
                    "unet": load.diffusers_model(UNet2DConditionModel, parts["unet"], "unet"),
                    "vae": load.diffusers_model(AutoencoderKL, parts["vae"], "vae"),
                },
                controlnets={kind: self.load_net(part, kind) for kind, part in source.controlnets.items()},
            )

    def load_net(self, part: Part, name: str) -> Any:
        from diffusers import ControlNetModel

        from export import load

        with load.quietly():
            return load.diffusers_model(ControlNetModel, part, f"controlnet {name}")

    def rows(self, facts: ModelFacts, modules: Modules) -> list[Row]:
        from export.graphs import residuals, text_encoder, vae
        from export.graphs import unet as denoiser

        m, words, network, pictures = facts.name, *(modules.parts[part] for part in self.parts)
        no_control, add, decoder = residuals.NoControl(facts.residuals), residuals.AddResiduals(), vae.Decoder(pictures)
        part = partial(names.part, facts)
        return [
            Row(
                part(names.text_encoder(m)),
                text_encoder.TextEncoder(words),
                partial(text_encoder.reference, words),
            ),
            *(self.net_row(facts, net, modules.controlnets[net.name]) for net in facts.nets),
            Row(part(names.no_control(m)), no_control, no_control),
            Row(part(names.add_residuals(m)), add, add),
            Row(part(names.unet(m)), denoiser.UNet(network), partial(denoiser.reference, network)),
            Row(part(names.vae_decoder(m)), decoder, decoder),
            Row(part(names.vae_encoder(m)), vae.Encoder(pictures), partial(vae.reference_posterior, pictures)),
        ]

    def net_row(self, facts: ModelFacts, net: Net, module: Any) -> Row:
        from export.graphs import controlnet

        return Row(
            names.part(facts, names.controlnet(facts.name, net.name)),
            controlnet.ControlNet(module, masked=net.channels == 4),
            partial(controlnet.reference, module),
        )

    def step(self, facts: ModelFacts, modules: Modules, nets: Sequence[str], inputs: Mapping[str, Tensor]) -> Tensor:
        from diffusers import MultiControlNetModel

        from export.graphs import controlnet, rows
        from export.graphs import unet as denoiser

        count = inputs["text"].shape[1]
        sample, timestep = rows.repeat(inputs["sample"], count), rows.repeat(inputs["timestep"], count).reshape(-1)
        text, added = rows.merge(inputs["text"]), {}
        if nets:
            hints = [inputs[names.hint(place)] for place in range(len(nets))]
            # One weight a control here, whatever residual and row: that is all diffusers' class can.
            scales = [float(inputs[names.scale(place)].flatten()[0]) for place in range(len(nets))]
            down, middle = MultiControlNetModel([modules.controlnets[net] for net in nets])(
                sample,
                timestep,
                encoder_hidden_states=text,
                controlnet_cond=[rows.repeat(controlnet.conditioning(hint), count) for hint in hints],
                conditioning_scale=scales,
                return_dict=False,
            )
            added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        network = modules.parts["unet"]
        predicted = network(sample, timestep, encoder_hidden_states=text, return_dict=False, **added)[0]
        return denoiser.guided(rows.split(predicted, count), inputs["guidance"])

    def written_for_graphs(self, module: nn.Module) -> AbstractContextManager[None]:
        from export.graphs import attention

        return attention.written_for_graphs(module)
