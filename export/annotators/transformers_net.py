"""Read the network and the picture processing of a transformers folder; shared by depth and segmentation."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import AutoConfig
from transformers.utils import logging as transformers_logging

from export.annotators import transformers_folder
from export.errors import SourceRefused

BACKBONES = ("bit", "convnext", "convnextv2", "dinov2", "beit", "swin", "swinv2", "resnet")
"""Model types allowed as a configuration's backbone; all are part of transformers itself."""

UNUSED = ("neck.fusion_stage.layers.0.residual_layer1.",)
"""Weights that networks have but never use, so that published files lack them: DPT's first fusion has no residual."""

# Parameters of every configuration that say how a network runs, not what it is.
_GENERAL = frozenset(
    {"self", "architectures", "dtype", "output_hidden_states", "output_attentions", "return_dict"}
    | {"transformers_version", "backbone_config", "chunk_size_feed_forward", "problem_type"}
)


def load_network(source: Path, network: Any) -> Any:
    """Load the network of a checked folder in float32. Raises SourceRefused unless the weights are exactly its own."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        model, report = network.from_pretrained(
            source,
            config=_config(transformers_folder.read(source / transformers_folder.CONFIG), network.config_class),
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            variant=transformers_folder.variant(source),
            attn_implementation="eager",
            output_loading_info=True,
        )
    except (RuntimeError, ValueError, OSError, TypeError, StrictDataclassError) as error:
        raise SourceRefused(f"the weights do not fit config.json ({type(error).__name__})") from error
    odd = [
        str(key)
        for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")
        for key in report[kind]
        if not str(key).startswith(UNUSED)
    ]
    if odd:
        raise SourceRefused(
            f"the weights are not those that config.json describes: {len(odd)} tensors are missing, superfluous or of "
            f"another shape, such as {sorted(odd)[0]}"
        )
    return model.eval().requires_grad_(False)


def _config(given: Mapping[str, Any], cls: Any) -> Any:
    """Build the configuration from the keys that the class knows, so that no other key can have an effect."""
    taken = {key: given[key] for key in _known(cls) if key in given}
    if isinstance(backbone := given.get("backbone_config"), dict):
        kind = backbone.get("model_type")
        if kind not in BACKBONES:
            raise SourceRefused(f"backbone type {kind!r} is not supported; supported: {', '.join(BACKBONES)}")
        keys = (*_known(type(AutoConfig.for_model(kind))), "out_features", "out_indices")
        taken["backbone_config"] = AutoConfig.for_model(kind, **{key: backbone[key] for key in keys if key in backbone})
    return cls(**taken)


def _known(cls: Any) -> tuple[str, ...]:
    names = inspect.signature(cls.__init__).parameters
    return tuple(name for name in names if name not in _GENERAL and not name.startswith("_"))


class Picture(nn.Module):
    """What a processor does with a picture except resizing: UINT8 [B, h, w, 3] -> FP32 [B, 3, h, w].

    Args:
        processing: preprocessor_config.json, with the class's defaults for missing values.
    """

    def __init__(self, processing: Any) -> None:
        super().__init__()
        self.weight: Tensor
        self.bias: Tensor
        scale = processing.rescale_factor if processing.do_rescale else 1.0
        mean, deviation = _three(0.0), _three(1.0)
        if processing.do_normalize:
            mean, deviation = _three(processing.image_mean), _three(processing.image_std)
        weight = [scale / one for one in deviation]
        self.register_buffer("weight", torch.tensor(weight).reshape(1, 3, 1, 1))
        bias = [-shift / one for shift, one in zip(mean, deviation, strict=True)]
        self.register_buffer("bias", torch.tensor(bias).reshape(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        pixels: Tensor = image.permute(0, 3, 1, 2).float()
        return pixels * self.weight + self.bias


def _three(value: float | Sequence[float]) -> Sequence[float]:
    return value if isinstance(value, (list, tuple)) else (float(value),) * 3  # type: ignore[arg-type]


def processor(source: Path, cls: Any) -> Any:
    """Create the library's picture processing with the folder's settings. Raises SourceRefused for BGR pictures."""
    given = transformers_folder.read(source / transformers_folder.PROCESSOR)
    if given.get("do_flip_channel_order"):
        raise SourceRefused(f"{transformers_folder.PROCESSOR}: channel orders other than RGB are not supported")
    keys = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std", "size", "ensure_multiple_of")
    try:
        made = cls(**{key: given[key] for key in keys if key in given})
        Picture(made)
    except (ValueError, TypeError, RuntimeError, StrictDataclassError) as error:
        raise SourceRefused(f"{transformers_folder.PROCESSOR} has invalid settings: {error}") from error
    return made


def pixel_values(processing: Any, image: Tensor) -> Tensor:
    """Process UINT8 [B, h, w, 3] with the library's processor, without resizing: FP32 [B, 3, h, w]."""
    made: Tensor = processing(list(image.numpy()), do_resize=False, return_tensors="pt")["pixel_values"]
    return made


def side(processing: Any) -> int:
    """Shorter side of the network's training pictures, according to its processing. Raises SourceRefused."""
    size = processing.size
    sides = [size[key] for key in ("height", "width", "shortest_edge") if size.get(key)]
    if not sides:
        raise SourceRefused(f"{transformers_folder.PROCESSOR}: size {dict(size)} has no height, width or shortest_edge")
    return int(min(sides))
