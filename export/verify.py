"""Verify that a graph computes the same as diffusers' and transformers' own forward passes, in ONNX Runtime."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from onnxruntime import InferenceSession
from torch import Tensor

from export import pieces
from export.errors import Mismatch
from families.facts import SIZE_NUMBERS, ModelFacts
from families.table import family_of
from families.tensors import Part
from families.tensors import Tensor as Declared

Inputs = dict[str, Tensor]
Reference = Callable[..., Any]
Graph = InferenceSession | pieces.Pieces
session = pieces.session

TOLERANCE = 2e-5
"""Largest difference of a float output, as a share of the output's largest magnitude (at least 1)."""
BYTE_TOLERANCE = 1
"""Largest difference of a picture's byte: a value halfway between two integers may be rounded either way."""

LATENTS = ((16, 16), (9, 13), (12, 20))
"""Verified latent sizes: square, odd, not square."""
BATCHES = (1, 2, 3)
ROWS = (1, 2)
_NUMBERED = re.compile(r"(.+)_(\d+)")
LONG_TEXT = 2
"""Chunks of the longer text that is verified as well, at the second latent size and batch."""


@dataclass(frozen=True, slots=True)
class Size:
    """The sizes that depend on requests: their number (`batch`), their text rows, the text's length as a multiple of
    the text encoder's (`chunks`), the latent's height and width in cells, and the depth of stacks of residuals."""

    batch: int
    rows: int
    height: int
    width: int
    chunks: int = 1
    depth: int = 1

    def __str__(self) -> str:
        return f"batch {self.batch}, rows {self.rows}, latent {self.height}x{self.width}, chunks {self.chunks}"


def sizes(part: Part, chunked: bool = True, few: bool = False) -> Iterator[Size]:
    """The sizes at which a graph is verified; rows, latents and depth vary only if the graph has them, chunks only if
    it may get several. `few` has each of them at least once, but not with each other."""
    free = {size for tensor in part.inputs for size in tensor.dims if isinstance(size, str)}
    rows = ROWS if "rows" in free else (1,)
    latents = LATENTS if free & {"h", "H"} else LATENTS[:1]
    together = list(itertools.product(latents, BATCHES, rows))
    if few:
        together = [(latents[n % len(latents)], batch, rows[n % len(rows)]) for n, batch in enumerate(BATCHES)]
    for (height, width), batch, count in together:
        yield Size(batch, count, height, width, depth=batch if "depth" in free else 1)
    if "tokens" in free and chunked:
        for count in rows[-1:] if few else rows:
            yield Size(BATCHES[1], count, *LATENTS[1], LONG_TEXT)


def example(tensors: Sequence[Declared], facts: ModelFacts, size: Size) -> Inputs:
    """Random inputs for `tensors` of a graph, in their order; the same ones for the same arguments.

    Sides are rounded up to whole patches.
    """
    seed = torch.Generator().manual_seed(
        hash((size.batch, size.rows, size.height, size.width, size.chunks)) & 0x7FFFFFFF
    )
    height, width = (-(-side // facts.patch) * facts.patch for side in (size.height, size.width))
    free = facts.dimensions(height=height, width=width, rows=size.rows, chunks=size.chunks, depth=size.depth)
    return {tensor.name: _random(tensor, (size.batch, *tensor.sized(free)), facts, seed) for tensor in tensors}


def _random(tensor: Declared, shape: tuple[int, ...], facts: ModelFacts, seed: torch.Generator) -> Tensor:
    """Numbers of the kind that the tensor of this name has in use."""
    numbered = _NUMBERED.fullmatch(tensor.name)
    name, place = (numbered[1], int(numbered[2])) if numbered else (tensor.name, 0)
    if tensor.dtype == "UINT8":
        return torch.randint(0, 256, shape, generator=seed).to(torch.uint8)
    if name == "input_ids":
        # CLIP's end token is its last; T5's is its second.
        return torch.randint(0, max(facts.encoders[place].eos + 1, 32), shape, generator=seed)
    if name == "layers_skipped":
        return torch.randint(0, min(encoder.layers for encoder in facts.encoders), shape, generator=seed)
    if name == "timestep":
        return torch.randint(0, 1000, shape, generator=seed).float()
    if name == "mode":
        modes = [mode for net in facts.nets for mode in net.kinds.values() if mode is not None]
        return torch.randint(0, max(modes) + 1, shape, generator=seed)
    if name == "vector" and facts.vector is not None and facts.vector.sizes:
        pooled = torch.randn((*shape[:-1], facts.vector.pooled), generator=seed)
        pixels = torch.randint(0, 1024, (*shape[:-1], SIZE_NUMBERS), generator=seed).float()
        return torch.cat([pooled, pixels], dim=-1)
    if name in ("guidance", "distilled"):
        return 1.0 + 9.0 * torch.rand(shape, generator=seed)
    if name == "scale":
        return 1.5 * torch.rand(shape, generator=seed)
    spread = 0.3 if name in ("residual", "a", "b") else 1.0
    return spread * torch.randn(shape, generator=seed)


def run(graph: Graph, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Run `graph`; returns all its outputs, in the graph's order."""
    return _tensors(graph.run(None, _arrays(inputs)))


def _each(graph: Graph, cases: Sequence[Case]) -> Iterator[list[Tensor]]:
    """As `run` for each of `cases`."""
    if isinstance(graph, pieces.Pieces):
        yield from map(_tensors, graph.run_all([_arrays(case.inputs) for case in cases]))
    else:
        yield from (run(graph, case.inputs) for case in cases)


def _arrays(inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in inputs.items()}


def _tensors(arrays: Sequence[Any]) -> list[Tensor]:
    return [torch.from_numpy(np.asarray(array)) for array in arrays]


@dataclass(frozen=True, slots=True)
class Case:
    """Inputs of one size, and what a graph must make of them."""

    size: Size
    inputs: Inputs
    expected: tuple[Tensor, ...]


def cases(part: Part, facts: ModelFacts, reference: Reference, few: bool = False) -> list[Case]:
    """What `reference` makes of random inputs of every size of `sizes`."""
    made = []
    for size in sizes(part, family_of(facts).chunked, few):
        inputs = example(part.inputs, facts, size)
        with torch.no_grad():
            expected = reference(*inputs.values())
        made.append(Case(size, inputs, tuple(expected) if isinstance(expected, (tuple, list)) else (expected,)))
    return made


def check(
    graph: Graph,
    part: Part,
    facts: ModelFacts,
    reference: Reference,
    tolerance: float = TOLERANCE,
) -> float:
    """Compare `graph` with `reference` as `check_cases` does, at every size of `sizes`."""
    return check_cases(graph, part, cases(part, facts, reference), tolerance)


def check_cases(graph: Graph, part: Part, known: Sequence[Case], tolerance: float = TOLERANCE) -> float:
    """Compare what `graph` makes of the inputs of `known` cases; returns the largest absolute difference.

    Raises Mismatch with the first size and output that differ by more than `tolerance`, or whose names, types or
    shapes are not those that `part` declares.
    """
    signature(graph, part)
    worst, made = 0.0, _each(graph, known)
    for case in known:
        where = f"{part.graph} at {case.size}"
        try:
            found = next(made)
        except Exception as error:  # ONNX Runtime has no public base class of its errors
            raise Mismatch(f"{where}: ONNX Runtime cannot run it: {error}") from error
        for tensor, ours, theirs in zip(part.outputs, found, case.expected, strict=True):
            worst = max(worst, compare(f"{where}, {tensor.name}", ours, theirs, tolerance))
    return worst


def compare(where: str, ours: Tensor, theirs: Tensor, tolerance: float = TOLERANCE) -> float:
    """The largest absolute difference; dimensions of 1 in `theirs` are broadcast. Raises Mismatch."""
    if ours.shape != torch.broadcast_shapes(ours.shape, theirs.shape) or ours.dtype != theirs.dtype:
        raise Mismatch(f"{where}: {tuple(ours.shape)} {ours.dtype}, torch has {tuple(theirs.shape)} {theirs.dtype}")
    difference = float((ours.double() - theirs.double()).abs().max())
    if ours.dtype == torch.uint8:
        allowed = float(BYTE_TOLERANCE) if tolerance > 0 else 0.0
    else:
        allowed = tolerance * max(1.0, float(theirs.abs().max()))
    if not difference <= allowed:
        raise Mismatch(f"{where}: differs from torch by {difference:.2e}; at most {allowed:.2e} is allowed")
    return difference


def signature(graph: Graph, part: Part) -> None:
    """Raise Mismatch if the names of the graph's inputs and outputs are not those that `part` declares."""
    for what, nodes, tensors in (
        ("inputs", graph.get_inputs(), part.inputs),
        ("outputs", graph.get_outputs(), part.outputs),
    ):
        found, wanted = [node.name for node in nodes], [tensor.name for tensor in tensors]
        if found != wanted:
            raise Mismatch(f"{part.graph}: the traced graph has {what} {found}, not {wanted}")
