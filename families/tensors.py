"""Tensors of graphs: what they are called, of which type they are, and which of their dimensions requests decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Dim = int | str
"""A size, or the name of one that requests decide: `rows` (of text), `tokens`, `h` and `w` (latent cells), `H` and `W`
(pixels), `patches` (a picture's, as a transformer's tokens), `depth` (of a stack of residuals). `h/2` is half of `h`,
rounded up."""

ANY = -1
"""What Triton's configurations call a dimension that requests decide."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a graph. `dims` exclude the leading batch dimension."""

    name: str
    dtype: str
    dims: tuple[Dim, ...]

    def sized(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Its shape where the named dimensions have these `sizes`, without the batch dimension. Raises KeyError for a
        name that `sizes` lacks."""
        return tuple(size_of(dim, sizes) for dim in self.dims)

    @property
    def free(self) -> tuple[int, ...]:
        """Its dimensions as Triton writes them: ANY for each that requests decide."""
        return tuple(dim if isinstance(dim, int) else ANY for dim in self.dims)


def size_of(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The size of one dimension; see `Tensor.sized`."""
    if isinstance(dim, int):
        return dim
    name, _, stride = dim.partition("/")
    return -(-sizes[name] // int(stride or 1))


def part_of(name: str, stride: int) -> Dim:
    """The dimension that is `name` divided by `stride`."""
    return name if stride == 1 else f"{name}/{stride}"


def stride_of(dim: Dim) -> int:
    """The inverse of `part_of`: 1 for a dimension that is not divided."""
    return int(str(dim).partition("/")[2] or 1)


@dataclass(frozen=True, slots=True)
class Part:
    """A graph with its own `model.onnx`, as Triton sees it."""

    graph: str
    role: str
    """Its key in the profile's tables: text_encoder, denoiser, vae or annotator."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in their order."""
        return tuple(tensor.name for tensor in self.inputs)
