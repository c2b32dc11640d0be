"""OpenPose: body parts and limbs (Cao et al., 2019), hands and faces (Simon et al., 2017).

CMU licenses OpenPose and its weights for non-commercial use only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.annotators import checkpoint, library, library_files
from export.annotators.architecture import Graph, Loaded

Maps = tuple[Tensor, ...]

MULTIPLE = 8
"""Three halvings. The hint's own code prepares the networks' pictures: one small picture, and crops of a larger one."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the three networks.

    Args:
        network: makes it.
        maps: what the network returns -> the head's outputs.
        layers_alone: whether the file names layers without their block.
    """

    network: Callable[[], nn.Module]
    maps: Callable[[Any], Maps]
    layers_alone: bool


_PARTS = {
    "body": _Part(lambda: library.module("open_pose.model").bodypose_model(), tuple, layers_alone=True),
    "hand": _Part(lambda: library.module("open_pose.model").handpose_model(), lambda x: (x,), layers_alone=True),
    "face": _Part(lambda: library.module("open_pose.face").FaceNet(), lambda x: (x[-1],), layers_alone=False),
}
_SEEN = {"body": "bodies", "hand": "hands", "face": "faces"}


class OpenPose(nn.Module):
    """Image UINT8 [B, h, w, 3] RGB -> the head's maps at an eighth of its size; see families.annotators.HEADS."""

    def __init__(self, net: nn.Module, maps: Callable[[Any], Maps]) -> None:
        super().__init__()
        self.net = net
        self.maps = maps

    def forward(self, image: Tensor) -> Maps:
        # The networks were trained on OpenCV's channel order.
        return self.maps(self.net(image.flip(3).permute(0, 3, 1, 2).float() / 256 - 0.5))


def reference(net: nn.Module, maps: Callable[[Any], Maps], image: Tensor) -> Maps:
    """As OpenposeDetector and its Body, Hand and Face feed a network, at a size that they do not change."""
    pictures = np.float32(image.numpy()[:, :, :, ::-1])
    return maps(net(torch.from_numpy(np.ascontiguousarray(np.transpose(pictures, (0, 3, 1, 2)) / 256 - 0.5))))


def load(source: Path) -> Loaded:
    """Load the networks. Raises SourceRefused for weights that do not belong to the network that their file names."""
    paths = library_files.find_poses(source)
    graphs = tuple(_graph(head, path) for head, path in paths.items())
    seen = ", ".join(_SEEN[head] for head in paths)
    return Loaded(graphs, f"OpenPose, for non-commercial use: {seen} of people in photographs.", library.SIDE, MULTIPLE)


def _graph(head: str, path: Path) -> Graph:
    part = _PARTS[head]
    net = part.network()
    blocks = {name.partition(".")[2]: name for name in net.state_dict()} if part.layers_alone else {}
    checkpoint.restore(net, path, lambda name: blocks.get(name, name))
    return Graph((head,), OpenPose(net, part.maps), partial(reference, net, part.maps))
