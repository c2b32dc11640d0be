"""Verify that an annotator's graph finds what its library finds, on pictures of several sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnxruntime
import torch
from torch import Tensor
from torch.nn import functional

from export import verify
from export.annotators.architecture import Graph, Loaded
from export.errors import Mismatch
from families.annotators import SMALLEST, STRIDES
from families.pictures import PICTURE
from families.tensors import Part

TOLERANCE = 1e-4
"""Largest difference of a map, as a share of the map's largest magnitude: a fortieth of a grey level."""
SHARE = 1e-3
"""Share of pixels that may have another class: if two logits are almost equal, rounding decides."""


@dataclass(frozen=True, slots=True)
class Size:
    """Pictures of one request's batch, pixels."""

    batch: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"batch {self.batch}, {self.height}x{self.width} px"


def sizes(loaded: Loaded) -> Iterator[Size]:
    """The sizes to verify: small ones that are not square, then the annotator's own."""
    if loaded.square:
        yield from (Size(batch, loaded.side, loaded.side) for batch in (1, 2, 3))
        return

    def up(side: int) -> int:
        return -(-side // loaded.multiple) * loaded.multiple

    small, middle, large = up(SMALLEST), up(SMALLEST * 5 // 4 - 1), up(SMALLEST * 3 // 2 + 1)
    yield Size(1, small, large)
    yield Size(2, large, middle)
    yield Size(3, small, small)
    yield Size(1, up(loaded.side), up(loaded.side))


def traced(loaded: Loaded) -> Size:
    """The size at which a graph is traced: not square if possible, so that the two sides are not confused."""
    return next(size for size in sizes(loaded) if size.batch == 2)


def pictures(size: Size) -> Tensor:
    """UINT8 [B, h, w, 3]: soft shapes with some grain, the same for the same size."""
    seed = torch.Generator().manual_seed(hash((size.batch, size.height, size.width)) & 0x7FFFFFFF)
    coarse = torch.rand((size.batch, 3, 1 + size.height // 16, 1 + size.width // 16), generator=seed)
    shapes = functional.interpolate(coarse, (size.height, size.width), mode="bilinear", align_corners=True)
    grain = torch.rand((size.batch, 3, size.height, size.width), generator=seed)
    return (255 * (0.85 * shapes + 0.15 * grain)).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def check(
    session: onnxruntime.InferenceSession, part: Part, graph: Graph, loaded: Loaded, tolerance: float = TOLERANCE
) -> float:
    """Compare a written graph with its reference at every size of `sizes`; returns the largest difference: of a map in
    its own unit, of classes the share of other ones.

    Raises Mismatch with the first size and output that differ by more than `tolerance` or SHARE, or whose names, types
    or shapes are not those that `part` declares.
    """
    verify.signature(session, part)
    stride = max(STRIDES[head] for head in graph.heads)
    worst = 0.0
    for size in sizes(loaded):
        image = pictures(size)
        with torch.no_grad():
            expected = graph.reference(image)
        where = f"{part.graph} at {size}"
        try:
            found = verify.run(session, {PICTURE.name: image})
        except Exception as error:  # ONNX Runtime has no public base class of its errors
            raise Mismatch(f"{where}: ONNX Runtime cannot run it: {error}") from error
        for tensor, ours, theirs in zip(part.outputs, found, expected, strict=True):
            if ours.shape[-2:] != (size.height // stride, size.width // stride):
                raise Mismatch(f"{where}, {tensor.name}: a map of {tuple(ours.shape[-2:])} cells of {stride} pixels")
            worst = max(worst, compare(f"{where}, {tensor.name}", ours, theirs, tolerance))
    return worst


def compare(where: str, ours: Tensor, theirs: Tensor, tolerance: float = TOLERANCE) -> float:
    """The largest absolute difference of a map, or the share of classes that differ. Raises Mismatch."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        raise Mismatch(f"{where}: {tuple(ours.shape)} {ours.dtype}, torch has {tuple(theirs.shape)} {theirs.dtype}")
    if ours.dtype == torch.uint8:
        difference = float((ours != theirs).double().mean())
        allowed = SHARE if tolerance > 0 else 0.0
    else:
        difference = float((ours.double() - theirs.double()).abs().max())
        allowed = tolerance * float(theirs.abs().max())
    if not difference <= allowed:
        raise Mismatch(f"{where}: differs from torch by {difference:.2e}, allowed is {allowed:.2e}")
    return difference
