"""Weights that stay in their files until they are asked for, one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.errors import SourceRefused
from export.hostile import shown

RESIDENT = 512 << 20
"""Bytes of weights in FP32 that are in memory at once: larger modules compute layer by layer, larger graphs in
pieces."""

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""safetensors' words for types that are numbers with a fraction."""


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight somewhere: its shape, and a function that reads it, FP32 and contiguous."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]

    @property
    def bytes(self) -> int:
        """Its size in memory."""
        return 4 * torch.Size(self.shape).numel()


def in_files(paths: Iterable[Path], what: str) -> dict[str, Weight]:
    """Every tensor of complete safetensors files by its name.

    Files are read, not mapped: a mapped page counts as memory of whoever looked at it last.
    Raises SourceRefused for one of a type that is no number with a fraction.
    """
    found: dict[str, Weight] = {}
    for path in paths:
        with path.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header: dict[str, Any] = json.loads(opened.read(length))
        for name, told in header.items():
            if name == "__metadata__":
                continue
            if told["dtype"] not in DTYPES and not name.endswith("position_ids"):
                raise SourceRefused(
                    f"{what}: tensor {shown(name)} of {path.name} is of type {told['dtype']}: quantized weights are "
                    "not read; give files in half or full precision"
                )
            shape = tuple(told["shape"])
            begin, end = told["data_offsets"]
            read = partial(_read, path, 8 + length + begin, end - begin, told["dtype"], shape)
            found[name] = Weight(shape, read)
    return found


def in_memory(tensor: Tensor) -> Weight:
    """A tensor of any type that is there already."""
    return Weight(tuple(tensor.shape), lambda: tensor.to(torch.float32).contiguous())


def _read(path: Path, offset: int, length: int, dtype: str, shape: tuple[int, ...]) -> Tensor:
    content = bytearray(length)
    try:
        with path.open("rb") as opened:
            opened.seek(offset)
            found = opened.readinto(content)
    except OSError as error:
        raise SourceRefused(f"{path.name} can't be read any more ({type(error).__name__})") from error
    if found != length:
        raise SourceRefused(f"{path.name} has changed while it was read")
    if not length:
        return torch.zeros(shape)
    return torch.frombuffer(content, dtype=DTYPES[dtype]).reshape(shape).to(torch.float32)
