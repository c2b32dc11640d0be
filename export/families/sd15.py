"""Stable Diffusion 1.5 and what is shaped like it: one CLIPTextModel, a UNet2DConditionModel, an AutoencoderKL."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from export.errors import SourceRefused
from export.families import checks, unet
from export.families.family import Row
from export.parts import Modules, Part, Source
from families import graphs as names
from families.facts import ModelFacts, skips
from families.sd15 import SD15

_NETWORK: Mapping[str, checks.Check] = {
    **unet.NETWORK,
    "mid_block_type": checks.exactly("UNetMidBlock2DCrossAttn"),
    "addition_embed_type": checks.exactly(None),
}


class Sd15(unet.UNetFamily):
    """See the module."""

    name = SD15.name
    shape = "SD1.5-shaped"
    expected = (
        "Expected is an SD1.5-shaped pipeline: one CLIPTextModel, a UNet2DConditionModel with 4 input channels, "
        "or 9 for a mask and a masked picture, an AutoencoderKL with 4 latent channels and a factor of 8."
    )
    pipelines = frozenset(
        {
            "StableDiffusionPipeline",
            "StableDiffusionControlNetPipeline",
            "StableDiffusionControlNetInpaintPipeline",
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
        (encoder,) = unet.clip_encoders(source, ("text_encoder",))
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
            nets=self.nets(source),
            concat=unet.concat_of(network),
            scheduler=dict(source.scheduler),
        )

    def load_parts(self, parts: Mapping[str, Part]) -> dict[str, Any]:
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel

        from export import load

        return {
            "text_encoder": load.clip(CLIPTextModel, parts["text_encoder"], "text_encoder"),
            "unet": load.diffusers_model(UNet2DConditionModel, parts["unet"], "unet"),
            "vae": load.diffusers_model(AutoencoderKL, parts["vae"], "vae"),
        }

    def net_class(self, part: Part) -> Any:
        from diffusers import ControlNetModel

        return ControlNetModel

    def text_row(self, facts: ModelFacts, modules: Modules) -> Row:
        from export.graphs import text_encoder

        words = modules.parts["text_encoder"]
        return Row(
            names.part(facts, names.text_encoder(facts.name)),
            text_encoder.TextEncoder(words),
            partial(text_encoder.reference, words),
        )
