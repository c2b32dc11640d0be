"""Reading checked weights into torch modules, in float32 and in evaluation mode."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextConfig, CLIPTextModel
from transformers.utils import logging as transformers_logging

from export import sd15
from export.source import Part, Source


@dataclass(frozen=True, slots=True)
class Modules:
    """The torch modules of one source."""

    text_encoder: Any
    unet: Any
    vae: Any
    controlnets: dict[str, Any]


def load(source: Source) -> Modules:
    """Load every part of a checked source; only safetensors, only from its folder, never code."""
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return Modules(
            text_encoder=_text_encoder(source.text_encoder),
            unet=_diffusers(UNet2DConditionModel, source.unet),
            vae=_diffusers(AutoencoderKL, source.vae),
            controlnets={kind: _diffusers(ControlNetModel, part) for kind, part in source.controlnets.items()},
        )


def _diffusers(cls: Any, part: Part) -> Any:
    model = cls.from_pretrained(
        part.folder,
        torch_dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        low_cpu_mem_usage=False,
        variant=part.variant,
    )
    return model.eval().requires_grad_(False)


def _text_encoder(part: Part) -> Any:
    # The configuration is built here from an allow-list, so that no key of the file can name code to import.
    config = CLIPTextConfig(**{key: part.config[key] for key in sd15.CLIP_SETTINGS if key in part.config})
    model = CLIPTextModel.from_pretrained(
        part.folder,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        variant=part.variant,
        attn_implementation="eager",
    )
    return model.eval().requires_grad_(False)
