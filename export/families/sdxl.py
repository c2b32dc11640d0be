"""Stable Diffusion XL and what is shaped like it: two CLIP text encoders, a UNet2DConditionModel that reads a vector of
the whole text and of sizes, an AutoencoderKL; ControlNets, also without attention, and unions of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from export.errors import Misfit, SourceRefused
from export.families import checks, unet
from export.families.family import Row
from export.families.unions import union_kinds
from export.parts import Modules, Part, Source
from families import graphs as names
from families.facts import SIZE_NUMBERS, ModelFacts, Net, Vector, skips
from families.sdxl import SDXL

if TYPE_CHECKING:
    from torch import Tensor

_UNION = "ControlNetUnionModel"
_NETWORK: Mapping[str, checks.Check] = {
    **unet.NETWORK,
    "addition_time_embed_dim": checks.optional(checks.WIDTH),
    "projection_class_embeddings_input_dim": checks.optional(checks.WIDTH),
}
_CONTROLNET: Mapping[str, checks.Check] = {
    **_NETWORK,
    **unet.CONTROLNET,
    # Small ones have neither attention nor the vector.
    "addition_embed_type": checks.one_of(None, "text_time"),
    "mid_block_type": checks.one_of("UNetMidBlock2DCrossAttn", "UNetMidBlock2D"),
}
# xinsir's unions know these kinds, in the order of their modes; ProMax the last two, too.
MODES: tuple[tuple[str, ...], ...] = (
    ("openpose",),
    ("depth",),
    ("hed", "softedge", "scribble"),
    ("canny", "lineart", "mlsd"),
    ("normal",),
    ("segmentation",),
    ("tile",),
    ("inpaint",),
)


class Sdxl(unet.UNetFamily):
    """See the module."""

    name = SDXL.name
    shape = "SDXL-shaped"
    expected = (
        "Expected is an SDXL-shaped pipeline: a CLIPTextModel, a CLIPTextModelWithProjection, a UNet2DConditionModel "
        "with 4 input channels, or 9 for a mask and a masked picture, and text_time embeddings, an AutoencoderKL with "
        "4 latent channels and a factor of 8."
    )
    pipelines = frozenset(
        {
            "StableDiffusionXLPipeline",
            "StableDiffusionXLControlNetInpaintPipeline",
            "StableDiffusionXLControlNetPipeline",
            "StableDiffusionXLControlNetUnionPipeline",
            "StableDiffusionXLImg2ImgPipeline",
            "StableDiffusionXLInpaintPipeline",
        }
    )
    schedulers = checks.SCHEDULERS
    scheduler_checks = checks.SCHEDULER_CHECKS
    parts: Mapping[str, str] = {
        "text_encoder": "CLIPTextModel",
        "text_encoder_2": "CLIPTextModelWithProjection",
        "unet": "UNet2DConditionModel",
        "vae": "AutoencoderKL",
    }
    tokenizers = ("tokenizer", "tokenizer_2")
    controlnets = frozenset({"ControlNetModel", _UNION})
    settings: Mapping[str, Mapping[str, checks.Check]] = {
        "UNet2DConditionModel": {
            **_NETWORK,
            **unet.UNET,
            "addition_embed_type": checks.exactly("text_time"),
            "time_cond_proj_dim": checks.optional(checks.WIDTH),
        },
        "ControlNetModel": _CONTROLNET,
        _UNION: {
            **_CONTROLNET,
            "num_control_type": checks.whole(len(MODES)),
            "num_trans_channel": checks.WIDTH,
            "num_trans_head": checks.whole(256),
            "num_trans_layer": checks.LAYERS,
            "num_proj_channel": checks.WIDTH,
        },
        "AutoencoderKL": {
            **unet.VAE,
            "latents_mean": checks.optional(checks.each(checks.number(-1e3, 1e3), 4, 4)),
            "latents_std": checks.optional(checks.each(checks.number(1e-3, 1e3), 4, 4)),
        },
        "CLIPTextModel": checks.CLIP,
        "CLIPTextModelWithProjection": checks.CLIP,
    }
    required: Mapping[str, frozenset[str]] = {
        "UNet2DConditionModel": unet.SHAPE
        | {"addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim"},
        "ControlNetModel": unet.SHAPE,
        _UNION: unet.SHAPE,
        "AutoencoderKL": frozenset({"block_out_channels", "scaling_factor"}),
        "CLIPTextModel": frozenset({"hidden_size", "num_hidden_layers", "vocab_size"}),
        "CLIPTextModelWithProjection": frozenset({"hidden_size", "num_hidden_layers", "vocab_size", "projection_dim"}),
    }
    same_in_controlnet = ("block_out_channels", "layers_per_block")

    def check(self, source: Source) -> None:
        first, second, network = (source.parts[part].config for part in ("text_encoder", "text_encoder_2", "unet"))
        words = first["hidden_size"] + second["hidden_size"]
        if words != network["cross_attention_dim"]:
            raise SourceRefused(
                f"the text encoders are {first['hidden_size']} and {second['hidden_size']} wide but the UNet expects "
                f"{network['cross_attention_dim']} together: these parts are not of the same model"
            )
        expected = network["projection_class_embeddings_input_dim"]
        given = second["projection_dim"] + SIZE_NUMBERS * network["addition_time_embed_dim"]
        if given != expected:
            raise SourceRefused(
                f"text_encoder_2 and sizes give {given} channels but the UNet expects {expected}: these parts are not "
                "of the same model"
            )

    def check_net(self, config: Mapping[str, Any], source: Source, name: str) -> None:
        super().check_net(config, source, name)
        attends = "CrossAttnDownBlock2D" in config.get("down_block_types", ())
        network = source.parts["unet"].config
        if attends and config["cross_attention_dim"] != network["cross_attention_dim"]:
            raise SourceRefused(
                f"controlnet {name}: cross_attention_dim is {config['cross_attention_dim']} but the UNet has "
                f"{network['cross_attention_dim']}: it belongs to another model"
            )

    def check_fit(self, config: Mapping[str, Any], facts: ModelFacts, label: str) -> None:
        if config.get("addition_embed_type") is None and "CrossAttnDownBlock2D" not in config["down_block_types"]:
            # Without attention the width of the text says nothing.
            shape = skips(unet.residuals(config["block_out_channels"], config["layers_per_block"]))
            if shape != facts.residuals:
                raise Misfit(unet.misfit(label, facts, None, shape))
            return
        super().check_fit(config, facts, label)

    def facts(self, source: Source, name: str) -> ModelFacts:
        network, vae = source.parts["unet"].config, source.parts["vae"].config
        downscale = 2 ** (len(vae["block_out_channels"]) - 1)
        encoders = unet.clip_encoders(source, ("text_encoder", "text_encoder_2"), layers_left_out=1)
        return ModelFacts(
            name=name,
            family=self.name,
            native_size=int(network.get("sample_size") or 128) * downscale,
            latent_channels=vae.get("latent_channels", 4),
            downscale=downscale,
            encoders=encoders,
            text_tokens=encoders[0].length,
            text_width=sum(encoder.width for encoder in encoders),
            residuals=skips(unet.residuals(network["block_out_channels"], network["layers_per_block"])),
            nets=self.nets(source),
            concat=unet.concat_of(network),
            vector=Vector(pooled=source.parts["text_encoder_2"].config["projection_dim"], sizes=True),
            zero_negative=bool(source.index.get("force_zeros_for_empty_prompt", True)),
            distilled=bool(network.get("time_cond_proj_dim")),
            scheduler=dict(source.scheduler),
        )

    def net(self, part: Part, name: str) -> Net:
        if part.config.get("_class_name") != _UNION:
            return replace(super().net(part, name), reads_vector=part.config.get("addition_embed_type") is not None)
        return Net(name=name, kinds=union_kinds(MODES[: part.config.get("num_control_type", 6)]))

    def load_parts(self, parts: Mapping[str, Part]) -> dict[str, Any]:
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTextModelWithProjection

        from export import load

        return {
            "text_encoder": load.clip(CLIPTextModel, parts["text_encoder"], "text_encoder"),
            "text_encoder_2": load.clip(CLIPTextModelWithProjection, parts["text_encoder_2"], "text_encoder_2"),
            "unet": load.diffusers_model(UNet2DConditionModel, parts["unet"], "unet"),
            "vae": load.diffusers_model(AutoencoderKL, parts["vae"], "vae"),
        }

    def net_class(self, part: Part) -> Any:
        from diffusers import ControlNetModel, ControlNetUnionModel

        return ControlNetUnionModel if part.config.get("_class_name") == _UNION else ControlNetModel

    def text_row(self, facts: ModelFacts, modules: Modules) -> Row:
        from export.graphs import text_encoder

        both = modules.parts["text_encoder"], modules.parts["text_encoder_2"]
        return Row(
            names.part(facts, names.text_encoder(facts.name)),
            text_encoder.TwoTextEncoders(*both),
            partial(text_encoder.reference_of_two, *both),
        )

    def net_row(self, facts: ModelFacts, net: Net, module: Any) -> Row:
        if not net.union:
            return super().net_row(facts, net, module)
        from export.graphs import controlnet_union as union

        part = names.part(facts, names.controlnet(facts.name, net.name))
        masked = net.channels == 4
        return Row(
            part,
            union.ControlNetUnion(module, part.input_names, masked),
            partial(union.reference, module, part.input_names),
        )

    def steered(self, modules: Modules, nets: Sequence[str], inputs: Mapping[str, Tensor]) -> tuple[Any, Any]:
        """As diffusers' classes, one control at a time and summed, where a union takes part: several hints of one union
        are several passes here, but one in diffusers (docs/parity.md)."""
        from diffusers import ControlNetUnionModel

        from export.graphs import controlnet_union as union

        models = [modules.controlnets[net] for net in nets]
        if not any(isinstance(model, ControlNetUnionModel) for model in models):
            return super().steered(modules, nets, inputs)
        import torch

        whole: Any = None
        for place, (net, model) in enumerate(zip(nets, models, strict=True)):
            alone = dict(inputs) | {
                names.hint(0): inputs[names.hint(place)],
                names.scale(0): inputs[names.scale(place)],
            }
            if isinstance(model, ControlNetUnionModel):
                rows = []
                for row in range(inputs["sample"].shape[0]):
                    one = {name: tensor[row : row + 1] for name, tensor in alone.items()}
                    mode, scale = inputs[names.mode(place)][row], float(one[names.scale(0)].flatten()[0])
                    down, middle = union.call(model, one, [one[names.hint(0)]], [mode], [scale])
                    rows.append([*down, middle])
                made = [torch.cat(residual) for residual in zip(*rows, strict=True)]
            else:
                down, middle = super().steered(modules, [net], alone)
                made = [*down, middle]
            whole = made if whole is None else [a + b for a, b in zip(whole, made, strict=True)]
        return whole[:-1], whole[-1]
