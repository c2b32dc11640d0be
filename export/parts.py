"""A checked source: its sub-models, each with its folder, its configuration and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


class Layout(StrEnum):
    """How a part's tensors are named in a single file, which holds them beside those of other parts."""

    UNET = "unet"
    VAE = "vae"
    CONTROLNET = "controlnet"
    CLIP = "clip"
    OPEN_CLIP = "open_clip"
    FLUX = "flux"
    T5 = "t5"


@dataclass(frozen=True, slots=True)
class Part:
    """One checked sub-model: its folder, its configuration and its weights: one file, or an index and its shards.

    Of a single file, `layout` says how its tensors are named and `prefix` how these names begin; its configuration was
    told from their shapes, and the folder holds none.
    """

    folder: Path
    config: Mapping[str, Any]
    weights: Path
    shards: tuple[Path, ...] = ()
    layout: Layout | None = None
    prefix: str = ""

    @property
    def tensor_files(self) -> tuple[Path, ...]:
        """The safetensors files that hold its weights."""
        return self.shards or (self.weights,)

    def files(self) -> tuple[Path, ...]:
        """Every file that affects its graphs."""
        return (self.weights,) if self.layout else (self.folder / "config.json", self.weights, *self.shards)


@dataclass(frozen=True, slots=True)
class Source:
    """A checked model in the folder `root`, or in a single file (None).

    `label` names it without any path; `family` is a row of the families' table; `index` is model_index.json; `parts`
    and `tokenizers` have the names of sub-folders as keys, `controlnets` kinds of control, or names of unions;
    `control` is the kind of the picture that the model itself reads, if it does. `kept` lives as long as it does: what
    removes temporary files at its end.
    """

    root: Path | None
    label: str
    family: str
    index: Mapping[str, Any]
    parts: Mapping[str, Part]
    tokenizers: Mapping[str, Path]
    scheduler: Mapping[str, Any]
    controlnets: Mapping[str, Part]
    kept: object = None
    control: str | None = None

    def files(self) -> tuple[Path, ...]:
        """Every file that affects the export, once, in a fixed order."""
        parts = (*self.parts.values(), *(self.controlnets[kind] for kind in sorted(self.controlnets)))
        of_tokenizers = [folder / name for folder in self.tokenizers.values() for name in TOKENIZER_FILES]
        found = (
            *(path for part in parts for path in part.files()),
            *(path for path in of_tokenizers if path.is_file()),
        )
        # Parts of a single file share it, and it may have gigabytes to hash.
        return tuple(dict.fromkeys(found))

    def told(self) -> dict[str, Mapping[str, Any]]:
        """Configurations that stand in no file, since they were told from shapes of tensors."""
        named = {**self.parts, **{f"controlnet {kind}": part for kind, part in sorted(self.controlnets.items())}}
        return {name: part.config for name, part in named.items() if part.layout}


@dataclass(frozen=True, slots=True)
class ControlNetSource:
    """A checked ControlNet without its model. `label` names it without any path."""

    label: str
    part: Part


@dataclass(frozen=True, slots=True)
class Modules:
    """The torch modules of one source, under the keys of its parts and ControlNets."""

    parts: Mapping[str, Any]
    controlnets: Mapping[str, Any]

    def named(self) -> dict[str, Any]:
        """Each module with the name that messages give it."""
        return {**self.parts, **{f"controlnet {kind}": module for kind, module in self.controlnets.items()}}
