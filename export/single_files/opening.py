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
from export.single_files import flux, kinds, networks, published, text, vae, words
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
    "flux": {
        "text_encoder": _clip(""),
        "text_encoder_2": Place(("",), Layout.T5, text.t5, ("text_encoder_2",)),
        "transformer": Place((kinds.UNET, ""), Layout.FLUX, flux.transformer, ("transformer",)),
        "vae": Place(("first_stage_model.", ""), Layout.VAE, vae.autoencoder, ("vae",)),
    },
}
"""Family -> part -> its place."""

ELSEWHERE: Mapping[str, tuple[str, ...]] = {"flux": ("text_encoder", "text_encoder_2", "vae", "tokenizer_2")}
"""Family -> what its files do not hold, and is named beside them: parts, and tokenizers."""

PADS: Mapping[str, Mapping[str, str | None]] = {
    "sd15": {"tokenizer": None},
    "sdxl": {"tokenizer": None, "tokenizer_2": "!"},
    "flux": {"tokenizer": None},
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


OfFolder = Callable[[str, str, Path], Part]
"""Opens the part of a family that is called so, in its diffusers folder; raises SourceRefused."""


def open_model(path: Path, tokenizer: Path | None, beside: Mapping[str, Path], of_folder: OfFolder) -> Opened:
    """Open a whole model; raises SourceRefused for what is no safetensors file, and as `model_of`."""
    return model_of(read(path), tokenizer, beside, of_folder)


def _refuse_folders(family: str, name: str, folder: Path) -> Part:
    raise SourceRefused(f"{name}: {shown(folder.name)} is a folder")


def model_of(
    header: Header,
    tokenizer: Path | None,
    beside: Mapping[str, Path] | None = None,
    of_folder: OfFolder = _refuse_folders,
) -> Opened:
    """The whole model of a file's tensors, and of the parts that are named beside it.

    Args:
        header: of the file.
        tokenizer: a checked folder to take in place of CLIP's own words.
        beside: part or tokenizer of ELSEWHERE -> its file or folder; a tokenizer's folder is checked.
        of_folder: opens a part's folder.

    Raises SourceRefused for what is no known family, lacks a part, or does not know these words.
    """
    family = kinds.family_of(header)
    facts, beside = published.of(family), beside or {}
    _require_parts(header, family, beside)
    tokenizers, scratch = words.folders(PADS[family], tokenizer)
    parts = {}
    for name, place in PLACES[family].items():
        named = beside.get(name)
        if named is not None and named.is_dir():
            parts[name] = of_folder(family, name, named)
        else:
            parts[name] = _part(header if named is None else read(named), place, facts, name)
    # T5's words are compared with its embeddings where its family is.
    for name, words_of in (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")):
        if words_of in tokenizers:
            parts[name] = _with_words(parts[name], name, tokenizers[words_of], tokenizer is not None)
    tokenizers |= {name: path for name, path in beside.items() if name not in PLACES[family]}
    return Opened(family, facts["index"], parts, tokenizers, _scheduler(header, facts), scratch)


def _require_parts(header: Header, family: str, beside: Mapping[str, Path]) -> None:
    """Raise SourceRefused unless `beside` has what the family's files do not hold, and nothing else."""
    wanted = ELSEWHERE.get(family, ())
    if odd := sorted(beside.keys() - set(wanted)):
        may = f"may be {', '.join(wanted)}" if wanted else f"is not needed: a file of {family} holds all of them"
        raise SourceRefused(f"--part {shown(odd[0])}: a part that is named beside {shown(header.path.name)} {may}")
    if missing := [name for name in wanted if name not in beside]:
        raise SourceRefused(
            f"{shown(header.path.name)} holds FLUX's transformer alone; name each other part as --part NAME=PLACE, a "
            f"file or a diffusers folder; missing are {', '.join(missing)}"
        )


def _with_words(part: Part, name: str, folder: Path, given: bool) -> Part:
    """The part with the special tokens of its tokenizer. Raises SourceRefused if it does not know these words."""
    words.check(name, part.config["vocab_size"], folder, given=given)
    special = {f"{role}_token_id": number for role, number in tokens.special_ids(folder).items()}
    return part if part.layout is None else replace(part, config={**part.config, **special})


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
    that ends in pure noise. Trainers write them, ComfyUI reads them, diffusers does not. A FLUX without guidance is
    schnell, whose schedule has no shift."""
    if "scheduler_without_guidance" in facts and not header.mentions("guidance_in."):
        return dict(facts["scheduler"] | facts["scheduler_without_guidance"])
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
