"""PiDiNet: edges by pixel differences (Su et al., ICCV 2021)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from export.annotators import checkpoint, library, library_files
from export.annotators.architecture import Graph, Loaded

_NET = "carv4"
"""The arrangement of convolutions that ControlNet's weights were trained with."""

# Of a 3x3 kernel, flattened: the weight that each is subtracted from when a difference goes around the centre.
_CLOCKWISE = [3, 0, 1, 6, 4, 2, 7, 8, 5]
# Of a flattened 5x5 kernel: the outer ring's eight, and the inner ring's, which a radial difference compares.
_OUTER = [0, 2, 4, 10, 14, 20, 22, 24]
_INNER = [6, 7, 8, 11, 13, 16, 17, 18]


def _central(weight: Tensor) -> Tensor:
    """Each pixel minus the centre."""
    plain = weight.clone()
    plain[:, :, 1, 1] -= weight.sum((2, 3))
    return plain


def _angular(weight: Tensor) -> Tensor:
    """Each pixel minus its neighbour around the centre."""
    flat = weight.flatten(2)
    return (flat - flat[:, :, _CLOCKWISE]).view_as(weight)


def _radial(weight: Tensor) -> Tensor:
    """Each pixel two steps from the centre minus the one a step from it: 5x5 out of 3x3 without the middle."""
    plain = weight.new_zeros(*weight.shape[:2], 25)
    plain[:, :, _OUTER] = weight.flatten(2)[:, :, 1:]
    plain[:, :, _INNER] = -weight.flatten(2)[:, :, 1:]
    return plain.view(*weight.shape[:2], 5, 5)


_PLAIN: Mapping[str, Callable[[Tensor], Tensor]] = {"cv": Tensor.clone, "cd": _central, "ad": _angular, "rd": _radial}
"""Kind of a pixel difference -> the kernel of the plain convolution that equals it."""


def plain(net: nn.Module) -> nn.Module:
    """The network with every pixel-difference convolution as the plain one that it equals."""
    pidi = library.module("pidi.model")
    converted = copy.deepcopy(net)
    differences = [(name, layer) for name, layer in converted.named_modules() if isinstance(layer, pidi.Conv2d)]
    for (name, layer), kind in zip(differences, pidi.nets[_NET].values(), strict=True):
        weight = _PLAIN[kind](layer.weight.detach())
        size = weight.shape[-1]
        convolution = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            size,
            layer.stride,
            padding=size // 2,
            groups=layer.groups,
            bias=False,
        )
        convolution.weight = nn.Parameter(weight, requires_grad=False)
        converted.set_submodule(name, convolution)
    return converted.eval()


class PiDiNet(nn.Module):
    """Image UINT8 [B, h, w, 3] RGB -> edges FP32 [B, h, w], 0 to 1."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = plain(net)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.net(image.flip(3).permute(0, 3, 1, 2).float() / 255)[-1][:, 0],)


def reference(net: nn.Module, image: Tensor) -> tuple[Tensor]:
    """As PidiNetDetector does it up to its rounding to bytes: the unconverted network, on BGR."""
    pictures = image.numpy()[:, :, :, ::-1].copy()
    return (net(torch.from_numpy(pictures.transpose(0, 3, 1, 2)).float() / 255.0)[-1][:, 0],)


def load(source: Path) -> Loaded:
    """Load the network. Raises SourceRefused for weights that are not those of pidinet."""
    net = library.module("pidi.model").pidinet()
    checkpoint.restore(net, library_files.weights(source, "pidinet"))
    graph = Graph(("softedge",), PiDiNet(net), partial(reference, net))
    shown = "PiDiNet: soft edges where people see boundaries in photographs."
    return Loaded((graph,), shown, library.SIDE, library.MULTIPLE)
