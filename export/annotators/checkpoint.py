"""Read weights from one file: a state dict, as safetensors or as a pickle that is read without running code."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from export.errors import SourceRefused

_WRAPPED_IN = ("state_dict", "model")
_SHOWN = 400


def restore(net: nn.Module, path: Path, name_of: Callable[[str], str] = str) -> None:
    """Load the file's weights into `net`, ready for inference.

    Args:
        net: the network, as the library makes it.
        path: safetensors, or a pickle that contains only tensors and numbers.
        name_of: name in the file -> name in the network, if they differ.

    Raises SourceRefused unless the file's weights are exactly the network's: the same names and shapes.
    """
    try:
        net.load_state_dict({name_of(name): tensor for name, tensor in read(path).items()})
    except RuntimeError as error:
        differences = textwrap.shorten(str(error).partition("\n")[2], _SHOWN, placeholder=" ...")
        raise SourceRefused(
            f"{path.name} does not contain the weights of {type(net).__name__}: {differences}"
        ) from error
    net.eval().requires_grad_(False)


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a state dict, without the wrapper of a training checkpoint and DataParallel's `module.`.

    Raises SourceRefused for a file that is broken, or contains anything but tensors and numbers.
    """
    try:
        found: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # a broken pickle fails in as many ways as there are bytes
        raise SourceRefused(
            f"{path.name} is not a plain state dict ({type(error).__name__}). It is read without running any code; "
            "if you trust it, convert it once: safetensors.torch.save_file(STATE_DICT, FILE)."
        ) from error
    for key in _WRAPPED_IN:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise SourceRefused(f"{path.name} has no state dict; expected names with tensors, or one under 'state_dict'")
    return {name.removeprefix("module."): value for name, value in found.items()}
