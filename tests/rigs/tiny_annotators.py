"""Random annotators of transformers' own classes, small enough to export in a second, as folders that export takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    ConvNextConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessorPil,
    GLPNConfig,
    GLPNForDepthEstimation,
    GLPNImageProcessorPil,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALVES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}

_STAGES: dict[str, Any] = {"depths": [1] * 4, "hidden_sizes": [8, 16, 16, 32]}
_HEADS: dict[str, Any] = {"num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16}


def _dinov2(**changes: Any) -> Dinov2Config:
    return Dinov2Config(
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        mlp_ratio=2,
        image_size=70,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
        **changes,
    )


def _dpt(**changes: Any) -> DPTForDepthEstimation:
    settings: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": 64,
        "patch_size": 16,
        "backbone_out_indices": [0, 1, 2, 3],
        "neck_hidden_sizes": [8, 16, 16, 32],
        "fusion_hidden_size": 16,
    }
    return DPTForDepthEstimation(DPTConfig(**settings | changes))


def _hybrid() -> DPTForDepthEstimation:
    stages = ["stage1", "stage2", "stage3"]
    bit = {"model_type": "bit", "global_padding": "same", "layer_type": "bottleneck", "depths": [1, 1, 1]}
    bit |= {"hidden_sizes": [64, 64, 64], "embedding_size": 16, "num_groups": 4, "out_features": stages}
    return _dpt(
        is_hybrid=True,
        neck_hidden_sizes=[64, 64, 16, 32],
        backbone_featmap_shape=[1, 64, 4, 4],
        backbone_config=bit | {"embedding_dynamic_padding": True},
    )


def _depth_anything(**changes: Any) -> DepthAnythingForDepthEstimation:
    return DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=_dinov2(apply_layernorm=True),
            patch_size=14,
            reassemble_hidden_size=32,
            neck_hidden_sizes=[8, 8, 16, 16],
            fusion_hidden_size=16,
            head_hidden_size=8,
            **changes,
        )
    )


def _upernet(classes: int) -> UperNetForSemanticSegmentation:
    stages = ["stage1", "stage2", "stage3", "stage4"]
    backbone = ConvNextConfig(out_features=stages, **_STAGES)
    return UperNetForSemanticSegmentation(
        UperNetConfig(backbone_config=backbone, hidden_size=16, num_labels=classes, auxiliary_channels=8)
    )


def _square(side: int, multiple: int, **settings: Any) -> DPTImageProcessorPil:
    return DPTImageProcessorPil(
        size={"height": side, "width": side}, ensure_multiple_of=multiple, keep_aspect_ratio=True, **settings
    )


_MAKERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "dpt": lambda: (_dpt(), _square(64, 32, **HALVES)),
    "dpt_hybrid": lambda: (_hybrid(), _square(64, 32, **HALVES)),
    "dpt_dinov2": lambda: (
        _dpt(backbone_config=_dinov2(apply_layernorm=False), backbone_out_indices=None),
        _square(84, 14, **IMAGENET),
    ),
    "depth_anything": lambda: (_depth_anything(), _square(70, 14, **IMAGENET)),
    "depth_anything_metric": lambda: (
        _depth_anything(depth_estimation_type="metric", max_depth=20),
        _square(70, 14, **IMAGENET),
    ),
    "glpn": lambda: (GLPNForDepthEstimation(GLPNConfig(**_STAGES, **_HEADS)), GLPNImageProcessorPil()),
    "segformer": lambda: (
        SegformerForSemanticSegmentation(SegformerConfig(num_labels=7, **_STAGES, **_HEADS)),
        SegformerImageProcessorPil(size={"height": 64, "width": 64}),
    ),
    "upernet": lambda: (_upernet(150), SegformerImageProcessorPil(size={"height": 64, "width": 64})),
}
NAMES = tuple(_MAKERS)


def make(folder: Path, name: str) -> Path:
    """Save the annotator of this name; its answers vary over a picture, which fresh weights would not bring about."""
    torch.manual_seed(len(name))
    model, processing = _MAKERS[name]()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=(2 / max(1, parameter[0].numel())) ** 0.5)
    for key, parameter in model.named_parameters():
        # The last rectifier would leave little of a depth around nothing, the last sigmoid little of a wide one.
        if key in ("head.head.4.bias", "head.conv3.bias"):
            torch.nn.init.constant_(parameter, 0.0 if "metric" in name else 3.0)
        if (name, key) in (("depth_anything_metric", "head.conv3.weight"), ("glpn", "head.head.2.weight")):
            parameter.data.mul_(0.2)
    model.save_pretrained(folder / name)
    processing.save_pretrained(folder / name)
    return folder / name
