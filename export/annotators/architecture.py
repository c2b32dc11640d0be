"""The type of an annotator architecture: how its source is recognised, loaded and turned into graphs.

The command line reads the table of architectures and must not wait for torch. So a row names the module of its loader
(`Deferred`), and that module is imported only when a source is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

Groups = tuple[tuple[str, ...], ...]
"""Heads of each graph of an annotator."""


@dataclass(frozen=True, slots=True)
class Graph:
    """One graph to write.

    Args:
        heads: what it finds (families.annotators.HEADS).
        module: image UINT8 [B, h, w, 3] RGB -> the heads' outputs as a tuple, in the order of HEADS.
        reference: image as above -> the same outputs by the library's own forward pass, with which the graph is
            compared; it shares no code with `module` except the library's network.
    """

    heads: tuple[str, ...]
    module: nn.Module
    reference: Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded source: its graphs and the facts for its card. See families.annotators.AnnotatorCard."""

    graphs: tuple[Graph, ...]
    description: str
    side: int
    multiple: int
    square: bool = False
    palette: tuple[tuple[int, int, int], ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deferred:
    """The function `load` of a module that imports torch; the module is imported on the first call."""

    module: str

    def __call__(self, source: Path) -> Loaded:
        loaded = importlib.import_module(self.module).load(source)
        assert isinstance(loaded, Loaded)
        return loaded


@dataclass(frozen=True, slots=True)
class Architecture:
    """One row of export.annotators.table. None of its functions but `load` may import torch.

    Args:
        name: shown in the card, such as "dpt".
        kinds: values of KIND in `python -m export annotator KIND SOURCE` that it serves, such as "depth".
        description: the sources that it supports, one sentence for --help and errors.
        recognises: whether a source (a folder, or one file) is of this architecture; reads configurations and file
            names only. Raises SourceRefused for one of this architecture that must not be loaded.
        heads: the heads of each graph that `load` will make from a recognised source, by its file names alone.
        files: the files of a recognised source that affect the export.
        load: reads the weights; safetensors, or pickled state dicts through torch.load(weights_only=True), which runs
            no code. Raises SourceRefused for weights that are not exactly those the network has.
        fetch: names of the files that it reads from a hub repository, in addition to those of a transformers folder.
        requires: pip requirement of an optional library, for the error if it is missing.
    """

    name: str
    kinds: tuple[str, ...]
    description: str
    recognises: Callable[[Path], bool]
    heads: Callable[[Path], Groups]
    files: Callable[[Path], tuple[Path, ...]]
    load: Deferred
    fetch: tuple[str, ...] = ()
    requires: str = ""
