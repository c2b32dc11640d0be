"""Depth by transformers: DPT (Ranftl et al. 2021), Depth Anything (Yang et al. 2024), GLPN (Kim et al. 2022)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    DepthAnythingForDepthEstimation,
    DPTForDepthEstimation,
    DPTImageProcessorPil,
    GLPNForDepthEstimation,
    GLPNImageProcessorPil,
)

from export.annotators import transformers_folder
from export.annotators.architecture import Graph, Loaded
from export.annotators.transformers_net import Picture, load_network, pixel_values, processor, side
from export.errors import SourceRefused

NEAREST_M = 0.1
"""Metric depths below this are raised to it, so that no pixel is infinitely near."""


def near_already(depth: Tensor) -> Tensor:
    """Relative depth, as MiDaS returns it, already grows towards the camera."""
    return depth


def near_of_metres(depth: Tensor) -> Tensor:
    """Metric depth grows away from the camera; its inverse is what relative models return."""
    return 1 / depth.clamp(min=NEAREST_M)


@dataclass(frozen=True, slots=True)
class _Kind:
    network: Any
    processing: Any
    stride: Callable[[Any], int]
    """What the picture's sides must be a multiple of, by the configuration; 0: a square of `image_size`."""
    metric: Callable[[Any], bool]
    """Whether the network's depth is in metres."""
    title: str
    native: int = 0
    """Shorter side of the training pictures, if the processing names none."""


def _dpt_stride(config: Any) -> int:
    # Without a backbone of its own, transformers' DPT takes the root of the number of patches for both sides.
    if config.is_hybrid or config.backbone_config is None:
        return 0
    patch = int(config.backbone_config.patch_size)
    return 32 if 32 % patch == 0 else 2 * patch


_KINDS = {
    "DPTForDepthEstimation": _Kind(
        DPTForDepthEstimation, DPTImageProcessorPil, _dpt_stride, lambda config: False, "DPT (MiDaS 3)"
    ),
    "DepthAnythingForDepthEstimation": _Kind(
        DepthAnythingForDepthEstimation,
        DPTImageProcessorPil,
        lambda config: int(config.patch_size),
        lambda config: config.depth_estimation_type == "metric",
        "Depth Anything",
    ),
    "GLPNForDepthEstimation": _Kind(
        GLPNForDepthEstimation, GLPNImageProcessorPil, lambda config: 32, lambda config: True, "GLPN", native=480
    ),
}


class FreeHead(nn.Module):
    """Depth Anything's head for any size: its own makes whole numbers of the sides, which a trace would keep."""

    def __init__(self, head: Any) -> None:
        super().__init__()
        self.head = head

    def forward(self, hidden_states: list[Tensor], patch_height: Any, patch_width: Any) -> Tensor:
        """The sums of DepthAnythingDepthEstimationHead.forward."""
        head = self.head
        size = (patch_height * head.patch_size, patch_width * head.patch_size)
        features = head.conv1(hidden_states[head.head_in_index])
        features = functional.interpolate(features, size, mode="bilinear", align_corners=True)
        features = head.activation1(head.conv2(features))
        depth: Tensor = head.activation2(head.conv3(features)) * head.max_depth
        return depth.squeeze(1)


def _for_graphs(network: Any) -> Any:
    """The network with sides that a graph leaves free; the given one stays as it is."""
    if not isinstance(network, DepthAnythingForDepthEstimation):
        return network
    changed: Any = copy.deepcopy(network)
    changed.head = FreeHead(changed.head)
    return changed


class Depth(nn.Module):
    """image UINT8 [B, h, w, 3] -> (nearness FP32 [B, h, w],)."""

    def __init__(self, network: Any, picture: Picture, nearness: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.picture, self.nearness = network, picture, nearness

    def forward(self, image: Tensor) -> tuple[Tensor]:
        pixels = self.picture(image)
        depth = self.network(pixels).predicted_depth
        if depth.shape[-2:] != pixels.shape[-2:]:
            depth = functional.interpolate(depth[:, None], pixels.shape[-2:], mode="bicubic", align_corners=False)[:, 0]
        return (self.nearness(depth),)


def load(source: Path) -> Loaded:
    """Load a folder of one of the classes of _KINDS. Raises SourceRefused."""
    transformers_folder.files(source)
    (name,) = transformers_folder.read(source / transformers_folder.CONFIG)["architectures"]
    kind = _KINDS[name]
    network = load_network(source, kind.network)
    processing = processor(source, kind.processing)
    metric = kind.metric(network.config)
    nearness = near_of_metres if metric else near_already

    def reference(image: Tensor) -> tuple[Tensor, ...]:
        outputs = network(pixel_values(processing, image))
        sizes = [tuple(image.shape[1:3])] * len(image)
        found = processing.post_process_depth_estimation(outputs, target_sizes=sizes)
        return (nearness(torch.stack([one["predicted_depth"] for one in found])),)

    try:
        stride = kind.stride(network.config)
    except (AttributeError, TypeError) as error:
        raise SourceRefused(
            f"{transformers_folder.CONFIG}: only square patches with a whole side are supported"
        ) from error
    trained = kind.native or (side(processing) if stride else int(network.config.image_size))
    return Loaded(
        graphs=(Graph(("depth",), Depth(_for_graphs(network), Picture(processing), nearness), reference),),
        description=f"{'Inverse of metric depth' if metric else 'Relative nearness'} of photographs by {kind.title}, "
        f"trained at {trained} px.",
        side=trained,
        multiple=math.lcm(stride, int(getattr(processing, "ensure_multiple_of", 1))) if stride else trained,
        square=stride == 0,
    )
