"""FLUX.1 and what is shaped like it: CLIP and T5, a FluxTransformer2DModel, an AutoencoderKL with a shift;
FluxControlNetModels of any depth, and unions of seven kinds. Transformers that also read a control picture (Control)
or a masked picture and its mask (Fill) say so by the number of their channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import tokens
from export.errors import Misfit, SourceRefused
from export.families import flux_settings
from export.families.family import ExportFamily, Row
from export.families.flux_settings import CELL, MODES, PATCH, WORDS
from export.families.unions import union_kinds
from export.hostile import shown
from export.parts import Modules, Part, Source
from families import graphs as names
from families.defaults import Defaults
from families.facts import Concat, Encoder, ModelFacts, Net, Vector
from families.flux import FLUX

if TYPE_CHECKING:
    from torch import Tensor, nn


class Flux(ExportFamily):
    """See the module."""

    name = FLUX.name
    shape = "FLUX-shaped"
    expected = (
        "Expected is a FLUX-shaped pipeline: a CLIPTextModel, a T5EncoderModel, a FluxTransformer2DModel that reads "
        "latents alone, or with those of a control picture (Control), or of a masked picture and the mask (Fill), an "
        "AutoencoderKL with a factor of 8."
    )
    pipelines = frozenset(
        {
            "FluxPipeline",
            "FluxControlNetPipeline",
            "FluxControlPipeline",
            "FluxFillPipeline",
            "FluxImg2ImgPipeline",
            "FluxInpaintPipeline",
        }
    )
    schedulers = frozenset({"FlowMatchEulerDiscreteScheduler"})
    scheduler_checks = flux_settings.SCHEDULER
    parts: Mapping[str, str] = {
        "text_encoder": "CLIPTextModel",
        "text_encoder_2": "T5EncoderModel",
        "transformer": "FluxTransformer2DModel",
        "vae": "AutoencoderKL",
    }
    tokenizers = ("tokenizer", "tokenizer_2")
    controlnets = frozenset({"FluxControlNetModel"})
    settings = flux_settings.SETTINGS
    required = flux_settings.REQUIRED

    def check(self, source: Source) -> None:
        clip, t5, transformer, vae = (source.parts[part].config for part in self.parts)
        for what, given, wanted in (
            ("text_encoder_2", t5["d_model"], transformer["joint_attention_dim"]),
            ("text_encoder", clip["hidden_size"], transformer["pooled_projection_dim"]),
        ):
            if given != wanted:
                raise SourceRefused(
                    f"{what} is {given} wide but the transformer expects {wanted}: these parts are not of the same "
                    "model"
                )
        _concat(transformer, source.control)
        if _latents(transformer) != vae["latent_channels"]:
            raise SourceRefused(
                f"the VAE has {vae['latent_channels']} latent channels but the transformer makes "
                f"{_latents(transformer)}: these parts are not of the same model"
            )

    def check_net(self, config: Mapping[str, Any], source: Source, name: str) -> None:
        transformer = source.parts["transformer"].config
        wanted = {key: transformer[key] for key in ("joint_attention_dim", "pooled_projection_dim")}
        wanted |= {"width": _width(transformer), "in_channels": 4 * _latents(transformer)}
        given = {**config, "width": _width(config)}
        for key, value in wanted.items():
            if given[key] != value:
                raise SourceRefused(
                    f"controlnet {name}: {key} is {shown(given[key])} but the transformer has {shown(value)}: it "
                    "belongs to another model"
                )
        if bool(config.get("guidance_embeds")) and not transformer.get("guidance_embeds"):
            raise SourceRefused(
                f"controlnet {name}: it reads a guidance scale, which the transformer does not: it belongs to another "
                "model"
            )

    def check_fit(self, config: Mapping[str, Any], facts: ModelFacts, label: str) -> None:
        vector = facts.vector.pooled if facts.vector else 0
        given = (_width(config), config["joint_attention_dim"], config["pooled_projection_dim"])
        wanted = (facts.residuals[0][-1], facts.text_width, vector)
        if given != wanted:
            raise Misfit(
                f"{label} belongs to another family of models than {facts.name!r}: it is {given[0]} wide and reads "
                f"text of {given[1]} and {given[2]} channels; the model has {wanted[0]}, {wanted[1]} and {wanted[2]}"
            )

    def suited(self, source: Source) -> Defaults:
        """Without guidance it is schnell, which was distilled to four steps."""
        return Defaults() if source.parts["transformer"].config.get("guidance_embeds") else Defaults(steps=4)

    def facts(self, source: Source, name: str) -> ModelFacts:
        clip, t5, transformer, vae = (source.parts[part].config for part in self.parts)
        downscale = 2 ** (len(vae["block_out_channels"]) - 1)
        distilled, channels = bool(transformer.get("guidance_embeds")), vae["latent_channels"]
        ids, words = tokens.special_ids(source.tokenizers["tokenizer"]), tokens.t5_ids(source.tokenizers["tokenizer_2"])
        for what, used, config in (("tokenizer", max(ids.values()), clip), ("tokenizer_2", words.largest, t5)):
            if used >= config["vocab_size"]:
                raise SourceRefused(
                    f"{what} and its text encoder do not match: token {used} for {config['vocab_size']} embeddings"
                )
        length = min(words.length, WORDS if distilled else WORDS // 2)
        return ModelFacts(
            name=name,
            family=self.name,
            native_size=int(vae.get("sample_size") or 1024),
            latent_channels=channels,
            downscale=downscale,
            encoders=(
                Encoder(
                    length=clip.get("max_position_embeddings", 77),
                    width=0,
                    layers=clip["num_hidden_layers"],
                    pad=ids["pad"],
                    bos=ids["bos"],
                    eos=ids["eos"],
                    tokenizer="tokenizer.json",
                ),
                Encoder(
                    length=length,
                    width=t5["d_model"],
                    layers=t5["num_layers"],
                    pad=words.pad,
                    eos=words.eos,
                    tokenizer="tokenizer_2.json",
                ),
            ),
            text_tokens=length,
            text_width=t5["d_model"],
            residuals=(("depth", "patches", _width(transformer)),) * 2,
            nets=tuple(self.net(part, kind) for kind, part in sorted(source.controlnets.items())),
            vector=Vector(pooled=transformer["pooled_projection_dim"]),
            distilled=distilled,
            concat=_concat(transformer, source.control),
            patch=PATCH,
            scheduler=dict(source.scheduler),
        )

    def net(self, part: Part, name: str) -> Net:
        modes = part.config.get("num_mode")
        kinds = union_kinds(MODES[:modes]) if modes else {name: None}
        return Net(name=name, kinds=kinds, distilled=bool(part.config.get("guidance_embeds")))

    def write_tokenizer(self, folder: Path, target: Path, encoder: Encoder) -> None:
        if encoder.bos is None:
            tokens.write_t5(folder, target, encoder.length)
        else:
            super().write_tokenizer(folder, target, encoder)

    def load_parts(self, parts: Mapping[str, Part]) -> dict[str, Any]:
        from diffusers import AutoencoderKL, FluxTransformer2DModel
        from transformers import CLIPTextModel

        from export import load

        return {
            "text_encoder": load.clip(CLIPTextModel, parts["text_encoder"], "text_encoder"),
            "text_encoder_2": load.t5(parts["text_encoder_2"], "text_encoder_2"),
            "transformer": load.diffusers_model(FluxTransformer2DModel, parts["transformer"], "transformer"),
            "vae": load.diffusers_model(AutoencoderKL, parts["vae"], "vae"),
        }

    def net_class(self, part: Part) -> Any:
        from diffusers import FluxControlNetModel

        return FluxControlNetModel

    def text_row(self, facts: ModelFacts, modules: Modules) -> Row:
        from export.graphs import text_encoder

        both = modules.parts["text_encoder"], modules.parts["text_encoder_2"]
        return Row(
            names.part(facts, names.text_encoder(facts.name)),
            text_encoder.T5AndClip(*both),
            partial(text_encoder.reference_of_flux, *both),
        )

    def no_control(self, facts: ModelFacts, modules: Modules) -> nn.Module:
        from export.graphs import flux

        return flux.NoControl(modules.parts["transformer"].inner_dim)

    def denoiser_row(self, facts: ModelFacts, modules: Modules) -> Row:
        from export.graphs import flux

        transformer, part = modules.parts["transformer"], names.part(facts, names.unet(facts.name))
        return Row(
            part,
            flux.Transformer(transformer, part.input_names),
            partial(flux.reference, transformer, part.input_names),
        )

    def net_row(self, facts: ModelFacts, net: Net, module: Any) -> Row:
        from export.graphs import flux

        part = names.part(facts, names.controlnet(facts.name, net.name))
        return Row(
            part,
            flux.ControlNet(module, part.input_names),
            partial(flux.controlnet_reference, module, part.input_names),
        )

    def step(self, facts: ModelFacts, modules: Modules, nets: Sequence[str], inputs: Mapping[str, Tensor]) -> Tensor:
        from export.graphs import flux

        main = names.part(facts, names.unet(facts.name))
        stacks: Any = None
        for place, net in enumerate(nets):
            part = names.part(facts, names.controlnet(facts.name, net))
            own = {tensor.name: f"{tensor.name}_{place}" for tensor in names.control_inputs(facts, facts.net(net))}
            given = [inputs[own.get(name, name)] for name in part.input_names]
            made = flux.controlnet_reference(modules.controlnets[net], part.input_names, *given)
            stacks = made if stacks is None else tuple(a + b for a, b in zip(stacks, made, strict=True))
        if stacks is None:
            stacks = flux.NoControl(modules.parts["transformer"].inner_dim)(inputs["sample"])
        known = dict(inputs) | dict(zip((names.residual(0), names.residual(1)), stacks, strict=True))
        given = [known[name] for name in main.input_names]
        return flux.reference(modules.parts["transformer"], main.input_names, *given)

    def written_for_graphs(self, module: nn.Module) -> AbstractContextManager[None]:
        from export.graphs import attention, flux_attention

        own = flux_attention if flux_attention.layers_of(module) else attention
        return own.written_for_graphs(module)


def _latents(transformer: Mapping[str, Any]) -> int:
    """Latent channels that the transformer makes."""
    return int(transformer.get("out_channels") or transformer["in_channels"]) // PATCH**2


def _concat(transformer: Mapping[str, Any], control: str | None) -> Concat | None:
    """What the transformer reads beside the latents, as the number of its channels says; `control` is the kind of a
    control picture. Raises SourceRefused for any other number, and for a control picture of no kind."""
    made, reads = PATCH**2 * _latents(transformer), transformer["in_channels"]
    filled = 2 * made + PATCH**2 * CELL**2
    if reads == made:
        return None
    if reads == filled:
        return Concat(mask="blocks")
    if reads != 2 * made:
        raise SourceRefused(
            f"the transformer reads {reads} channels and makes {made}: expected are {made}, {2 * made} with a control "
            f"picture (Control) or {filled} with a masked picture and the mask (Fill)"
        )
    if control is None:
        raise SourceRefused(
            "the transformer reads a control picture beside the latents, and its files do not say of which kind: add "
            "--control-kind, which is canny for FLUX.1-Canny-dev and depth for FLUX.1-Depth-dev"
        )
    return Concat(control=control)


def _width(config: Mapping[str, Any]) -> int:
    """Channels of a token inside a transformer or ControlNet."""
    return int(config["num_attention_heads"] * config["attention_head_dim"])
