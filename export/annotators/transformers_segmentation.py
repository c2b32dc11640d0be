"""Semantic segmentation by transformers: SegFormer (Xie et al. 2021) and UperNet (Xiao et al. 2018)."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import SegformerForSemanticSegmentation, SegformerImageProcessorPil, UperNetForSemanticSegmentation

from export.annotators import ade20k, transformers_folder
from export.annotators.architecture import Graph, Loaded
from export.annotators.transformers_net import Picture, load_network, pixel_values, processor, side
from export.errors import SourceRefused

STRIDE = 32
"""Both networks halve the picture five times."""
MOST_CLASSES = 256
"""A class is one byte of the graph's output."""

_NETWORKS: dict[str, tuple[Any, str]] = {
    "SegformerForSemanticSegmentation": (SegformerForSemanticSegmentation, "SegFormer"),
    "UperNetForSemanticSegmentation": (UperNetForSemanticSegmentation, "UperNet"),
}


class Pooled(nn.Module):
    """nn.AdaptiveAvgPool2d(bins) as two matrix products, since ONNX has no such node for a dynamic size."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, features: Tensor) -> Tensor:
        """FP32 [B, C, h, w] -> [B, C, bins, bins]; bin i of a side of n is the mean of floor(i n / bins) to
        ceil((i + 1) n / bins)."""
        rows, columns = self._means(features[0, 0, :, 0]), self._means(features[0, 0, 0])
        return rows @ features @ columns.transpose(0, 1)

    def _means(self, line: Tensor) -> Tensor:
        places = torch.ones_like(line).cumsum(0).to(torch.int64) - 1
        count = places[-1] + 1
        bins = torch.arange(self.bins)[:, None]
        first, past = bins * count // self.bins, ((bins + 1) * count + self.bins - 1) // self.bins
        inside = ((places >= first) & (places < past)).to(line.dtype)
        return inside / inside.sum(1, keepdim=True)


class Segmentation(nn.Module):
    """image UINT8 [B, h, w, 3] -> (classes UINT8 [B, h, w],)."""

    def __init__(self, network: Any, picture: Picture) -> None:
        super().__init__()
        self.network, self.picture = network, picture

    def forward(self, image: Tensor) -> tuple[Tensor]:
        pixels = self.picture(image)
        logits = self.network(pixels).logits
        if logits.shape[-2:] != pixels.shape[-2:]:
            logits = functional.interpolate(logits, pixels.shape[-2:], mode="bilinear", align_corners=False)
        return (logits.argmax(1).to(torch.uint8),)


def load(source: Path) -> Loaded:
    """Load a folder of one of the classes of _NETWORKS. Raises SourceRefused."""
    transformers_folder.files(source)
    (name,) = transformers_folder.read(source / transformers_folder.CONFIG)["architectures"]
    cls, title = _NETWORKS[name]
    network = load_network(source, cls)
    processing = processor(source, SegformerImageProcessorPil)
    classes = network.config.num_labels
    if classes > MOST_CLASSES:
        raise SourceRefused(
            f"the model has {classes} classes; at most {MOST_CLASSES} are supported, because a class is one byte"
        )

    def reference(image: Tensor) -> tuple[Tensor, ...]:
        outputs = network(pixel_values(processing, image))
        sizes = [tuple(image.shape[1:3])] * len(image)
        found = processing.post_process_semantic_segmentation(outputs, target_sizes=sizes)
        return (torch.stack(found).to(torch.uint8),)

    colours = "the colours of ADE20K" if classes == len(ade20k.COLOURS) else "colours that divide the circle of hues"
    return Loaded(
        graphs=(Graph(("segmentation",), Segmentation(_for_graphs(network), Picture(processing)), reference),),
        description=f"{classes} classes of things and grounds in photographs by {title}, in {colours}.",
        side=side(processing),
        multiple=STRIDE,
        palette=ade20k.palette(classes),
        labels=tuple(str(network.config.id2label[index]) for index in range(classes)),
    )


def _for_graphs(network: Any) -> Any:
    """A copy of the network in which every layer can be exported; the original is not changed."""
    changed = copy.deepcopy(network)
    for block in changed.modules():
        layers = getattr(block, "layers", None)
        if isinstance(layers, list) and layers and isinstance(layers[0], nn.AdaptiveAvgPool2d):
            layers[0] = Pooled(int(layers[0].output_size))  # type: ignore[arg-type]
    return changed
