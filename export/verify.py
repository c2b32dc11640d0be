"""Verify that a graph computes the same as diffusers' and transformers' own forward passes, in ONNX Runtime."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from export.errors import Mismatch
from families.facts import SIZE_NUMBERS, ModelFacts
from families.table import family_of
from families.tensors import Part
from families.tensors import Tensor as Declared

Inputs = dict[str, Tensor]
Reference = Callable[..., Any]

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


def sizes(part: Part, chunked: bool = True) -> Iterator[Size]:
    """The sizes at which a graph is verified; rows, latents and depth vary only if the graph has them, chunks only if
    it may get several."""
    free = {size for tensor in part.inputs for size in tensor.dims if isinstance(size, str)}
    rows = ROWS if "rows" in free else (1,)
    latents = LATENTS if free & {"h", "H"} else LATENTS[:1]
    for (height, width), batch, count in itertools.product(latents, BATCHES, rows):
        yield Size(batch, count, height, width, depth=batch if "depth" in free else 1)
    if "tokens" in free and chunked:
        for count in rows:
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


def session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open the graph in ONNX Runtime on the CPU, as a server would."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(graph: onnxruntime.InferenceSession, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Run `graph`; returns all its outputs, in the graph's order."""
    return [torch.from_numpy(np.asarray(x)) for x in graph.run(None, {k: v.numpy() for k, v in inputs.items()})]


def check(
    graph: onnxruntime.InferenceSession,
    part: Part,
    facts: ModelFacts,
    reference: Reference,
    tolerance: float = TOLERANCE,
) -> float:
    """Compare `graph` with `reference` at every size of `sizes`; returns the largest absolute difference.

    Raises Mismatch with the first size and output that differ by more than `tolerance`, or whose names, types or
    shapes are not those that `part` declares.
    """
    signature(graph, part)
    worst = 0.0
    for size in sizes(part, family_of(facts).chunked):
        inputs = example(part.inputs, facts, size)
        with torch.no_grad():
            expected = reference(*inputs.values())
        expected = expected if isinstance(expected, (tuple, list)) else (expected,)
        where = f"{part.graph} at {size}"
        try:
            found = run(graph, inputs)
        except Exception as error:  # ONNX Runtime has no public base class of its errors
            raise Mismatch(f"{where}: ONNX Runtime cannot run it: {error}") from error
        for tensor, ours, theirs in zip(part.outputs, found, expected, strict=True):
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


def signature(graph: onnxruntime.InferenceSession, part: Part) -> None:
    """Raise Mismatch if the names of the graph's inputs and outputs are not those that `part` declares."""
    for what, nodes, tensors in (
        ("inputs", graph.get_inputs(), part.inputs),
        ("outputs", graph.get_outputs(), part.outputs),
    ):
        found, wanted = [node.name for node in nodes], [tensor.name for tensor in tensors]
        if found != wanted:
            raise Mismatch(f"{part.graph}: the traced graph has {what} {found}, not {wanted}")
