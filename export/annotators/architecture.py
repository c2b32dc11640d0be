"""What an architecture of annotators is: how its source is recognised, loaded and turned into graphs.

The table of architectures is read by a command line that must not wait for torch. A row therefore says where its
loader stands (`Deferred`), and the module with the networks is imported when a source is really loaded.
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
    """One graph to make.

    Args:
        heads: what it finds (families.annotators.HEADS).
        module: image UINT8 [B, h, w, 3] RGB -> the heads' outputs as a tuple, in the order of HEADS.
        reference: image as above -> the same outputs by the library's own forward pass, which the graph is held
            against; it shares no code with `module` beyond the library's network.
    """

    heads: tuple[str, ...]
    module: nn.Module
    reference: Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded source: the graphs, and what its card says. See families.annotators.AnnotatorCard."""

    graphs: tuple[Graph, ...]
    description: str
    side: int
    multiple: int
    square: bool = False
    palette: tuple[tuple[int, int, int], ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deferred:
    """The function `load` of a module that imports torch, which is imported when it is called."""

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
        kinds: words of the command line that it serves (`python -m export annotator KIND SOURCE`), such as "depth".
        description: what sources it takes, one sentence for --help and errors.
        recognises: whether a source (a folder, or one file) is of this architecture; reads configurations and file
            names only. Raises SourceRefused for one of this architecture that must not be loaded.
        heads: heads of each graph that `load` will make of a recognised source, by its file names alone.
        files: the files of a recognised source that decide the outcome.
        load: reads the weights; safetensors, or pickled state dicts through torch.load(weights_only=True), which runs
            no code. Raises SourceRefused for weights that are not exactly those the network has.
        fetch: names of the files that it reads in a repository of the hub, beside a transformers folder's.
        requires: pip requirement of an optional library, for the error where it is missing.
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
