"""Line art by the generator of informative drawings (Chan et al., CVPR 2022)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from export.annotators import checkpoint, library, library_files
from export.annotators.architecture import Graph, Loaded


class LineArt(nn.Module):
    """Image UINT8 [B, h, w, 3] RGB -> paper FP32 [B, h, w], 0 a dark line to 1 blank."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.net(image.permute(0, 3, 1, 2).float() / 255)[:, 0],)


def reference(net: nn.Module, image: Tensor) -> tuple[Tensor]:
    """As LineartDetector does it up to its rounding to bytes."""
    return (net(torch.from_numpy(image.numpy().transpose(0, 3, 1, 2)).float() / 255.0)[:, 0],)


def load(source: Path) -> Loaded:
    """Load the network. Raises SourceRefused for weights that are not those of Generator."""
    net = library.module("lineart").Generator(3, 1, 3)
    checkpoint.restore(net, library_files.weights(source, "lineart"))
    graph = Graph(("lineart",), LineArt(net), partial(reference, net))
    shown = "Informative drawings: a photograph's contours as a pen would draw them."
    return Loaded((graph,), shown, library.SIDE, library.MULTIPLE)
