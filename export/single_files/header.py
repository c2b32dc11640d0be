"""Names, shapes and types of the tensors in a safetensors file; no tensor is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from export.errors import SourceRefused
from export.hostile import refusing, shown

MOST_TENSORS = 50_000
"""Tensors of a file; SDXL has 2,500, a checkpoint with its training's averages twice as many."""
MOST_NUMBERED = 256
"""Blocks or layers of one kind in a network; SDXL's larger text encoder has 32."""


@dataclass(frozen=True, slots=True)
class Header:
    """A file's tensors.

    shapes: name -> sizes; dtypes: name -> safetensors' word for the type, such as `F16`.
    """

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]

    def has(self, start: str) -> bool:
        """Whether any tensor's name begins so."""
        return any(name.startswith(start) for name in self.shapes)

    def mentions(self, word: str) -> bool:
        """Whether any tensor's name contains `word`."""
        return any(word in name for name in self.shapes)


@dataclass(frozen=True, slots=True)
class Section:
    """The tensors of one part: those whose names begin with `prefix`, called here without it.

    `what` names the part in messages.
    """

    header: Header
    prefix: str
    what: str

    def has(self, name: str) -> bool:
        """Whether there is a tensor of exactly this name."""
        return self.prefix + name in self.header.shapes

    def shape(self, name: str, dims: int) -> tuple[int, ...]:
        """The sizes of a tensor. Raises SourceRefused if it is missing or hasn't `dims` dimensions."""
        found = self.header.shapes.get(self.prefix + name)
        if found is None:
            raise SourceRefused(
                f"{self.what}: tensor {shown(self.prefix + name)} is missing from {shown(self.header.path.name)}: "
                "the file is incomplete, or of another kind of model"
            )
        if len(found) != dims:
            raise SourceRefused(
                f"{self.what}: tensor {shown(self.prefix + name)} has {len(found)} dimensions instead of {dims}"
            )
        return found

    def width(self, name: str) -> int:
        """The output channels of a linear layer [out, in] or a convolution [out, in, h, w]."""
        found = self.header.shapes.get(self.prefix + name, ())
        return self.shape(name, 4 if len(found) == 4 else 2)[0]

    def count(self, start: str) -> int:
        """How many numbered things there are below `start`, such as `encoder.layers`.

        Raises SourceRefused if a number is left out, or if they are more than MOST_NUMBERED.
        """
        start = f"{self.prefix}{start}."
        heads = {name[len(start) :].partition(".")[0] for name in self.header.shapes if name.startswith(start)}
        numbers = {head for head in heads if head.isdecimal() and len(head) < 4}
        if len(numbers) > MOST_NUMBERED or numbers != {str(number) for number in range(len(numbers))}:
            raise SourceRefused(f"{self.what}: tensors {shown(start + '*')} are not numbered without gaps from 0")
        return len(numbers)


def read(path: Path) -> Header:
    """Read a file's header.

    Raises SourceRefused for what is no regular file, or no complete safetensors file.
    """
    if not path.is_file():
        raise SourceRefused(f"{shown(path.name)} is not a regular file")
    with refusing(shown(path.name), SafetensorError, OSError):
        try:
            with safe_open(path, framework="numpy") as opened:
                names = opened.keys()
                if len(names) > MOST_TENSORS:
                    raise SourceRefused(f"{shown(path.name)} has {len(names)} tensors; at most {MOST_TENSORS} are read")
                slices = {name: opened.get_slice(name) for name in names}
                shapes = {name: tuple(found.get_shape()) for name, found in slices.items()}
                dtypes = {name: str(found.get_dtype()) for name, found in slices.items()}
        except (SafetensorError, OSError) as error:
            raise SourceRefused(f"{shown(path.name)} is not a complete safetensors file ({error})") from error
    return Header(path, shapes, dtypes)
