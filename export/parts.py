"""A checked source: its sub-models, each with its folder, its configuration and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
)


@dataclass(frozen=True, slots=True)
class Part:
    """One checked sub-model: its folder, its configuration and the weights file that will be read."""

    folder: Path
    config: Mapping[str, Any]
    weights: Path

    @property
    def variant(self) -> str | None:
        """diffusers' variant of the weights' file name: `fp16` for model.fp16.safetensors."""
        middle = self.weights.name.split(".")[1:-1]
        return middle[0] if middle else None

    def files(self) -> tuple[Path, ...]:
        """Every file that affects its graphs."""
        return (self.folder / "config.json", self.weights)


@dataclass(frozen=True, slots=True)
class Source:
    """A checked model in the folder `root`.

    `label` names it without any path; `family` is a row of the families' table; `index` is model_index.json; `parts`
    and `tokenizers` have the names of sub-folders as keys, `controlnets` kinds of control, or names of unions.
    """

    root: Path
    label: str
    family: str
    index: Mapping[str, Any]
    parts: Mapping[str, Part]
    tokenizers: Mapping[str, Path]
    scheduler: Mapping[str, Any]
    controlnets: Mapping[str, Part]

    def files(self) -> tuple[Path, ...]:
        """Every file that affects the export, in a fixed order."""
        parts = (*self.parts.values(), *(self.controlnets[kind] for kind in sorted(self.controlnets)))
        of_tokenizers = [folder / name for folder in self.tokenizers.values() for name in TOKENIZER_FILES]
        return (*(path for part in parts for path in part.files()), *(path for path in of_tokenizers if path.is_file()))


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
