"""Import networks of controlnet_aux, each from its own module.

The package's `__init__` imports every detector, and with them torchvision, timm and mediapipe, which no network that is
exported here needs. So its modules are imported inside empty packages, and nothing of that stays in `sys.modules`:
another library that imports torchvision or controlnet_aux gets what is installed.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from export.annotators.library_files import REQUIRES
from export.errors import SourceRefused

PACKAGE = "controlnet_aux"
HOW_TO_INSTALL = (
    """`pip install "controlmesh[annotators]"`, or without the torchvision and timm that it asks for and no network """
    f"here needs: `pip install --no-deps {REQUIRES}` and `pip install einops scikit-image scipy`"
)

SIDE = 512
"""Default shorter side of the library's detectors, pixels."""
MULTIPLE = 64
"""The sides of their pictures are multiples of this."""


@functools.cache
def module(name: str) -> ModuleType:
    """The module `controlnet_aux.<name>`, such as "open_pose.model", without the `__init__` of the packages above it.

    Raises SourceRefused if the library, or something that the module imports, is not installed.
    """
    with _stand_ins(name):
        try:
            return importlib.import_module(f"{PACKAGE}.{name}")
        except ImportError as error:
            raise SourceRefused(
                f"this architecture needs controlnet_aux, of which {error.name or error} cannot be imported: "
                f"{HOW_TO_INSTALL}"
            ) from error


@contextmanager
def _stand_ins(name: str) -> Iterator[None]:
    """Install empty packages above `name` and, if torchvision is missing, its three transforms; remove them at exit."""
    stand_ins = dict(_bare_packages(name))
    if importlib.util.find_spec("torchvision") is None:
        stand_ins |= _torchvision()
    before = _taken(stand_ins)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        _taken(stand_ins)
        sys.modules.update(before)


def _taken(stand_ins: Mapping[str, ModuleType]) -> dict[str, ModuleType]:
    """Remove controlnet_aux and everything with the name of a stand-in from `sys.modules`; returns what was removed."""
    names = [name for name in sys.modules if name in stand_ins or name.partition(".")[0] == PACKAGE]
    return {name: sys.modules.pop(name) for name in names}


def _bare_packages(name: str) -> Iterator[tuple[str, ModuleType]]:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SourceRefused(f"this architecture needs controlnet_aux, which is not installed: {HOW_TO_INSTALL}")
    full, folders = PACKAGE, list(spec.submodule_search_locations)
    yield full, _bare(full, folders)
    for part in name.split(".")[:-1]:
        full, folders = f"{full}.{part}", [f"{folder}/{part}" for folder in folders]
        yield full, _bare(full, folders)


def _bare(name: str, folders: list[str]) -> ModuleType:
    package = ModuleType(name)
    package.__path__ = folders
    return package


def _torchvision() -> dict[str, ModuleType]:
    package, transforms = _bare("torchvision", []), ModuleType("torchvision.transforms")
    transforms.__dict__.update(Normalize=_Normalize, ToTensor=lambda: _to_tensor, ToPILImage=lambda: _to_picture)
    package.__dict__["transforms"] = transforms
    return {"torchvision": package, "torchvision.transforms": transforms}


class _Normalize:
    """torchvision.transforms.Normalize: (x - mean) / std of each channel of [..., C, H, W]."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self._mean, self._std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def __call__(self, x: Tensor) -> Tensor:
        return (x - self._mean) / self._std


def _to_tensor(picture: Image.Image | np.ndarray) -> Tensor:
    """torchvision.transforms.ToTensor of a UINT8 picture [H, W, C]: FP32 [C, H, W], 0 to 1."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255


def _to_picture(x: Tensor) -> Image.Image:
    """torchvision.transforms.ToPILImage of FP32 [3, H, W], 0 to 1."""
    return Image.fromarray((x * 255).byte().permute(1, 2, 0).numpy())
