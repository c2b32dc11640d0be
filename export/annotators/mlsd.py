"""M-LSD: straight lines by their centres and ends (Gu et al., AAAI 2022)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.annotators import checkpoint, library, library_files
from export.annotators.architecture import Graph, Loaded

_OF_CENTRES = 5
"""Channels of a line's centre and ends; the others were for training."""


class Mlsd(nn.Module):
    """Image UINT8 [B, h, w, 3] RGB -> lines FP32 [B, 5, h/2, w/2]: a logit and the ends' displacements, in cells."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor]:
        x = image.permute(0, 3, 1, 2).float()
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1) / 127.5 - 1
        return (self.net(x)[:, :_OF_CENTRES],)


def reference(net: nn.Module, image: Tensor) -> tuple[Tensor]:
    """As `pred_lines` feeds the network: a fourth channel of ones, scaled like the others."""
    pictures = np.concatenate([image.numpy(), np.ones([*image.shape[:3], 1])], axis=-1)
    batch = (pictures.transpose(0, 3, 1, 2).astype("float32") / 127.5) - 1.0
    return (net(torch.from_numpy(batch).float())[:, 0:5],)


def load(source: Path) -> Loaded:
    """Load the network. Raises SourceRefused for weights that are not those of MobileV2_MLSD_Large."""
    net = library.module("mlsd.models.mbv2_mlsd_large").MobileV2_MLSD_Large()
    checkpoint.restore(net, library_files.weights(source, "mlsd"))
    graph = Graph(("mlsd",), Mlsd(net), partial(reference, net))
    shown = "M-LSD, large: straight lines of rooms and buildings in photographs."
    return Loaded((graph,), shown, library.SIDE, library.MULTIPLE)
