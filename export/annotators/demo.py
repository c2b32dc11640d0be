"""The shipped annotator of the demo's shapes: depth, normals, classes and soft edges in one pass."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from demo.annotator_net import MULTIPLE, AnnotatorNet, load_net
from demo.hints import SEGMENT_COLOURS
from export.annotators import transformers_folder
from export.annotators.architecture import Graph, Loaded
from export.annotators.demo_folder import HEADS
from export.errors import SourceRefused

SIDE = 128
"""Side of the pictures that it was trained on."""


class Shapes(nn.Module):
    """image UINT8 [B, h, w, 3] -> depth [B, h, w], normal [B, 3, h, w], classes UINT8 [B, h, w], softedge [B, h, w]."""

    def __init__(self, net: AnnotatorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        found = self.net(image.permute(0, 3, 1, 2).float() / 255)
        return found["depth"], found["normal"], found["segmentation"].argmax(1).to(torch.uint8), found["softedge"]


def load(source: Path) -> Loaded:
    """The network of a folder that demo wrote. Raises SourceRefused for weights that are not exactly its own."""
    if transformers_folder.read(source / transformers_folder.CONFIG).get("labels") != list(SEGMENT_COLOURS):
        raise SourceRefused(f"{source.name}: its classes are not {', '.join(SEGMENT_COLOURS)}; train it again")
    try:
        net = load_net(source)
    except (RuntimeError, ValueError, KeyError, OSError, SafetensorError) as error:
        raise SourceRefused(f"{source.name}: the weights do not fit config.json ({type(error).__name__})") from error

    def reference(image: Tensor) -> tuple[Tensor, ...]:
        # One picture at a time, as it was trained and measured.
        rows = [net(one.permute(2, 0, 1)[None] / 255.0) for one in image]
        maps = {head: torch.cat([row[head] for row in rows]) for head in HEADS}
        return maps["depth"], maps["normal"], maps["segmentation"].argmax(1).to(torch.uint8), maps["softedge"]

    return Loaded(
        graphs=(Graph(HEADS, Shapes(net), reference),),
        description="The demo's own annotator: rendered circles, squares, triangles, stars, rings and crosses only.",
        side=SIDE,
        multiple=MULTIPLE,
        palette=tuple(SEGMENT_COLOURS.values()),
        labels=tuple(SEGMENT_COLOURS),
    )
