"""What an architecture of annotators is: how its source is recognised, loaded and turned into graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn


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
class Architecture:
    """One row of export.annotators.table.

    Args:
        name: shown in the card, such as "dpt".
        kinds: words of the command line that it serves (`python -m export annotator KIND SOURCE`), such as "depth".
        description: what sources it takes, one sentence for --help and errors.
        recognises: whether a source's files are of this architecture; reads configurations and file names only.
        files: the files of a recognised source that decide the outcome.
        load: reads the weights; safetensors, or pickled state dicts through torch.load(weights_only=True), which runs
            no code. Raises SourceRefused for weights that are not exactly those the network has.
        requires: pip requirement of an optional library, for the error where it is missing.
    """

    name: str
    kinds: tuple[str, ...]
    description: str
    recognises: Callable[[Path], bool]
    files: Callable[[Path], tuple[Path, ...]]
    load: Callable[[Path], Loaded]
    requires: str = ""
