"""HED: holistically-nested edges (Xie and Tu, 2015), as retrained by ControlNet's authors under Apache 2.0."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.annotators import checkpoint, library, library_files
from export.annotators.architecture import Graph, Loaded


class Hed(nn.Module):
    """Image UINT8 [B, h, w, 3] RGB -> edges FP32 [B, h, w], 0 to 1.

    The five side outputs are enlarged within the graph, by the same bilinear rule as OpenCV's INTER_LINEAR.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor]:
        x = image.permute(0, 3, 1, 2).float()
        sides = [F.interpolate(side, x.shape[2:], mode="bilinear", align_corners=False) for side in self.net(x)]
        return (torch.sigmoid(torch.cat(sides, 1).mean(1)),)


def reference(net: nn.Module, image: Tensor) -> tuple[Tensor]:
    """As HEDdetector does it up to its rounding to bytes: OpenCV enlarges, and the mean's sigmoid is taken in FP64."""
    maps = []
    for picture in image.numpy():
        height, width = picture.shape[:2]
        sides = net(torch.from_numpy(picture.transpose(2, 0, 1)[None]).float())
        grown = [cv2.resize(side.numpy()[0, 0], (width, height), interpolation=cv2.INTER_LINEAR) for side in sides]
        maps.append(1 / (1 + np.exp(-np.mean(grown, axis=0).astype(np.float64))))
    return (torch.from_numpy(np.stack(maps)).float(),)


def load(source: Path) -> Loaded:
    """Load the network. Raises SourceRefused for weights that are not those of ControlNetHED_Apache2."""
    net = library.module("hed").ControlNetHED_Apache2()
    checkpoint.restore(net, library_files.weights(source, "hed"))
    graph = Graph(("hed",), Hed(net), partial(reference, net))
    shown = "HED as ControlNet trained it: soft outlines of objects in photographs and drawings."
    return Loaded((graph,), shown, library.SIDE, library.MULTIPLE)
