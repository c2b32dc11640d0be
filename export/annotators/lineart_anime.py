"""Line art of anime pictures by the U-Net of Anime2Sketch (Xiang et al., 2021)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from export.annotators import checkpoint, library, library_files
from export.annotators.architecture import Graph, Loaded

MULTIPLE = 256
"""Eight halvings. The library enlarges any picture to such sides before the network, and shrinks the lines after it."""


class LineArtAnime(nn.Module):
    """Image UINT8 [B, h, w, 3] RGB -> paper FP32 [B, h, w], 0 a dark line to 1 blank."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return ((self.net(image.permute(0, 3, 1, 2).float() / 127.5 - 1)[:, 0] + 1) / 2,)


def reference(net: nn.Module, image: Tensor) -> tuple[Tensor]:
    """As LineartAnimeDetector does it up to its rounding to bytes, at a size that it does not change."""
    feed = torch.from_numpy(image.numpy().transpose(0, 3, 1, 2)).float() / 127.5 - 1.0
    return ((net(feed)[:, 0] * 127.5 + 127.5) / 255,)


def load(source: Path) -> Loaded:
    """Load the network. Raises SourceRefused for weights that are not those of UnetGenerator."""
    norm = partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
    net = library.module("lineart_anime").UnetGenerator(3, 1, 8, 64, norm_layer=norm, use_dropout=False)
    checkpoint.restore(net, library_files.weights(source, "lineart_anime"))
    graph = Graph(("lineart_anime",), LineArtAnime(net), partial(reference, net))
    return Loaded((graph,), "Anime2Sketch: the outlines of anime pictures.", library.SIDE, MULTIPLE)
