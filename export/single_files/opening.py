"""Open a single file: its family, the configuration of each part, its scheduler; torch is not imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from export import tokens
from export.errors import SourceRefused
from export.hostile import shown
from export.parts import Layout, Part
from export.single_files import kinds, networks, published, text, vae, words
from export.single_files.header import Header, Section, read


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part lies in the files of a family.

    prefixes: beginnings of its tensors' names, of which the first that occurs counts; configure: tensors and published
    settings -> configuration; published: keys of these settings in the family's file.
    """

    prefixes: tuple[str, ...]
    layout: Layout
    configure: Callable[[Section, Mapping[str, Any]], dict[str, Any]]
    published: tuple[str, ...]


_UNET = Place((kinds.UNET,), Layout.UNET, networks.unet, ("network", "unet"))
_VAE = Place(("first_stage_model.",), Layout.VAE, vae.autoencoder, ("vae",))


def _clip(prefix: str) -> Place:
    # The oldest files were written before transformers put `text_model` around the encoder.
    return Place((f"{prefix}text_model.", prefix), Layout.CLIP, text.clip, ("text_encoder",))


PLACES: Mapping[str, Mapping[str, Place]] = {
    "sd15": {"text_encoder": _clip("cond_stage_model.transformer."), "unet": _UNET, "vae": _VAE},
    "sdxl": {
        "text_encoder": _clip("conditioner.embedders.0.transformer."),
        "text_encoder_2": Place(
            ("conditioner.embedders.1.model.",), Layout.OPEN_CLIP, text.open_clip, ("text_encoder_2",)
        ),
        "unet": _UNET,
        "vae": _VAE,
    },
}
"""Family -> part -> its place."""

PADS: Mapping[str, Mapping[str, str | None]] = {
    "sd15": {"tokenizer": None},
    "sdxl": {"tokenizer": None, "tokenizer_2": "!"},
}
"""Family -> tokenizer -> the token that it pads with, where that is not the end of the text."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a file holds, unchecked: names and values come from a stranger's file.

    `scratch` holds the tokenizers' folders and must be kept as long as they are read.
    """

    family: str
    index: Mapping[str, Any]
    parts: Mapping[str, Part]
    tokenizers: Mapping[str, Path]
    scheduler: Mapping[str, Any]
    scratch: words.Scratch


def open_model(path: Path, tokenizer: Path | None) -> Opened:
    """Open a whole model; raises SourceRefused for what is no safetensors file, and as `model_of`."""
    return model_of(read(path), tokenizer)


def model_of(header: Header, tokenizer: Path | None) -> Opened:
    """The whole model of a file's tensors; `tokenizer` is a checked folder to take in place of CLIP's own words.

    Raises SourceRefused for what is no known family, lacks a part, or does not know these words.
    """
    family = kinds.family_of(header)
    facts = published.of(family)
    tokenizers, scratch = words.folders(PADS[family], tokenizer)
    parts = {name: _part(header, place, facts, name) for name, place in PLACES[family].items()}
    encoders = [name for name in parts if name.startswith("text_encoder")]
    for name, folder in zip(encoders, tokenizers.values(), strict=True):
        words.check(name, parts[name].config["vocab_size"], folder, given=tokenizer is not None)
        ids = tokens.special_ids(folder)
        special = {f"{role}_token_id": number for role, number in ids.items()}
        parts[name] = replace(parts[name], config={**parts[name].config, **special})
    return Opened(family, facts["index"], parts, tokenizers, _scheduler(header, facts), scratch)


def open_controlnet(path: Path, family: str, what: str) -> Part:
    """Open a ControlNet for models of `family`; `what` names it in messages. Raises SourceRefused."""
    return controlnet_of(read(path), family, what)


def controlnet_of(header: Header, family: str, what: str) -> Part:
    """The ControlNet of a file's tensors; raises SourceRefused."""
    kinds.require_controlnet(header, what)
    facts = published.of(family)
    section = Section(header, kinds.CONTROL if header.has(kinds.CONTROL) else "", what)
    config = networks.controlnet(section, facts["network"], facts.get("union", {}))
    return Part(header.path.parent, config, header.path, layout=Layout.CONTROLNET, prefix=section.prefix)


def _part(header: Header, place: Place, facts: Mapping[str, Any], what: str) -> Part:
    prefix = next((prefix for prefix in place.prefixes if header.has(prefix)), None)
    if prefix is None:
        raise SourceRefused(
            f"{what}: {shown(header.path.name)} has no tensors {place.prefixes[-1]}*: it is not a whole model. "
            f"{kinds.EXPECTED}"
        )
    settings = {key: value for name in place.published for key, value in facts[name].items()}
    config = place.configure(Section(header, prefix, what), settings)
    return Part(header.path.parent, config, header.path, layout=place.layout, prefix=prefix)


def _scheduler(header: Header, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The published scheduler, changed as marker tensors say: `v_pred` for v-prediction, with it `ztsnr` for a schedule
    that ends in pure noise. Trainers write them, ComfyUI reads them, diffusers does not."""
    if "v_pred" not in header.shapes:
        return dict(facts["scheduler"])
    if "ztsnr" not in header.shapes:
        return facts["scheduler"] | {"prediction_type": "v_prediction"}
    return facts.get("zero_snr_scheduler", facts["scheduler"]) | {
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        # Other spacings never visit the last timestep, the only one that knows pure noise.
        "timestep_spacing": "trailing",
    }
