"""NormalBae: surface normals with their uncertainty (Bae et al., ICCV 2021)."""

from __future__ import annotations

import contextlib
import io
import types
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.annotators import checkpoint, library, library_files
from export.annotators.architecture import Graph, Loaded

# Of ImageNet.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class NormalBae(nn.Module):
    """Image UINT8 [B, h, w, 3] RGB -> normals FP32 [B, 3, h, w], unit vectors."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(_STD)[:, None, None])

    def forward(self, image: Tensor) -> tuple[Tensor]:
        x = (image.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
        return (self.net(x)[0][-1][:, :3],)


def reference(net: nn.Module, image: Tensor) -> tuple[Tensor]:
    """As NormalBaeDetector does it up to its colours: the finest of four scales, without the certainty."""
    x = (image.numpy().astype(np.float32) / 255.0 - np.array(_MEAN, np.float32)) / np.array(_STD, np.float32)
    return (net(torch.from_numpy(x.transpose(0, 3, 1, 2).copy()))[0][-1][:, :3],)


def network() -> nn.Module:
    """NNET as NormalBaeDetector makes it.

    Its encoder is an EfficientNet that the library ships and loads through torch.hub from its own folder: nothing is
    fetched or written, but it prints.
    """
    settings = types.SimpleNamespace(
        mode="client", architecture="BN", pretrained="scannet", sampling_ratio=0.4, importance_ratio=0.7
    )
    with contextlib.redirect_stdout(io.StringIO()):
        net: nn.Module = library.module("normalbae.nets.NNET").NNET(settings)
    return net


def load(source: Path) -> Loaded:
    """Load the network. Raises SourceRefused for weights that are not those of NNET."""
    net = network()
    checkpoint.restore(net, library_files.weights(source, "normalbae"))
    graph = Graph(("normal",), NormalBae(net), partial(reference, net))
    shown = "NormalBae: surface normals of rooms and things in photographs."
    return Loaded((graph,), shown, library.SIDE, library.MULTIPLE)
