"""Assemble the trained parts and the annotator into one diffusers folder: half precision, safetensors, no local
paths."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTokenizer

from demo.annotator_net import load_net, save_net
from demo.diffusion import build_scheduler
from demo.text_encoder import load_text_encoder

#: Keys in which the libraries note where a part was loaded from on this machine.
LOCAL_KEYS = ("_name_or_path", "name_or_path", "is_local", "local_files_only", "tokenizer_file")


def assemble(parts: Mapping[str, Path], controls: Mapping[str, Path], annotator: Path, folder: Path) -> None:
    """Write a StableDiffusionPipeline folder with one subfolder controlnet-KIND for every control, and `annotator`.

    parts: folders of tokenizer, text_encoder, vae and unet. controls: kind -> folder. annotator: its folder.
    Raises ValueError if a weight is not finite in half precision.
    """
    pipeline = StableDiffusionPipeline(
        tokenizer=CLIPTokenizer.from_pretrained(parts["tokenizer"]),
        text_encoder=load_text_encoder(parts["text_encoder"]),
        vae=AutoencoderKL.from_pretrained(parts["vae"]),
        unet=UNet2DConditionModel.from_pretrained(parts["unet"]),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    models = {name: getattr(pipeline, name) for name in ("text_encoder", "vae", "unet")}
    for kind, source in controls.items():
        models[f"controlnet-{kind}"] = ControlNetModel.from_pretrained(source)
    for name, model in models.items():
        model.to(torch.float16)
        if not all(weight.isfinite().all() for weight in model.parameters()):
            raise ValueError(f"A weight of {name} is not finite in half precision; train that stage again.")
    pipeline.save_pretrained(folder, safe_serialization=True)
    for kind in controls:
        models[f"controlnet-{kind}"].save_pretrained(folder / f"controlnet-{kind}", safe_serialization=True)
    save_net(load_net(annotator), folder / "annotator")
    for path in folder.rglob("*config.json"):
        settings = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in settings.items() if key not in LOCAL_KEYS}
        path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
