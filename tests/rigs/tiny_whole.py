"""Random models with as many heads and groups as the published ones, since no shape of a tensor tells these: narrow
enough for tests, and the same in a diffusers folder and in a single file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    ControlNetModel,
    ControlNetUnionModel,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from export.facts import facts_of
from export.parts import Source
from tests.rigs import trained_names
from tests.rigs.once import first, of_run
from tests.rigs.tiny_layers import awaken, clip, clip_tokenizer, vae

POOLED, HINT = 40, (8, 8, 16, 16)
_BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
_VAE: dict[str, Any] = {"block_out_channels": (32, 32, 64, 64), "norm_num_groups": 32}
_SD15: dict[str, Any] = {
    "block_out_channels": (32, 32, 64, 64),
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "cross_attention_dim": 64,
}
_SDXL: dict[str, Any] = {
    "block_out_channels": (32, 64, 128),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "attention_head_dim": (1, 1, 2),
    "use_linear_projection": True,
    "cross_attention_dim": 192,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": POOLED + 6 * 256,
}


def sd15(folder: Path) -> Path:
    """Write an SD1.5-shaped model, with a ControlNet for edges, into `folder` and return it."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        tokenizer = clip_tokenizer()
        pipeline: Any = StableDiffusionPipeline(
            vae=vae(scaling_factor=0.18215, **_VAE),
            text_encoder=clip(tokenizer, 64, heads=1),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(
                sample_size=64,
                attention_head_dim=8,
                up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
                **_SD15,
            ).eval(),
            scheduler=PNDMScheduler(set_alpha_to_one=False, skip_prk_steps=True, **_BETAS),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.scheduler.register_to_config(clip_sample=False)
        net = ControlNetModel(attention_head_dim=8, conditioning_embedding_out_channels=HINT, **_SD15).eval()
        awaken(net, 0.2)
    return _written(folder, pipeline, {"canny": net})


def sdxl(folder: Path) -> Path:
    """The same of SDXL; its ControlNets are `canny`, `scribble` without attention and vector, and a `union`."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(4)
        first, second = clip_tokenizer(), clip_tokenizer(pad_token="!")
        pipeline: Any = StableDiffusionXLPipeline(
            vae=vae(scaling_factor=0.13025, force_upcast=True, **_VAE),
            text_encoder=clip(first, 64, heads=1),
            text_encoder_2=clip(second, 128, POOLED, "gelu", heads=2),
            tokenizer=first,
            tokenizer_2=second,
            unet=UNet2DConditionModel(
                sample_size=128, up_block_types=(*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"), **_SDXL
            ).eval(),
            scheduler=EulerDiscreteScheduler(timestep_spacing="leading", **_BETAS),
            add_watermarker=False,
        )
        plain = _SDXL | {
            "down_block_types": ("DownBlock2D",) * 3,
            "mid_block_type": "UNetMidBlock2D",
            "addition_embed_type": None,
        }
        union = {"num_control_type": 8, "num_trans_channel": 32, "num_trans_head": 8, "num_proj_channel": 32}
        nets = {
            "canny": ControlNetModel(conditioning_embedding_out_channels=HINT, **_SDXL),
            "scribble": ControlNetModel(conditioning_embedding_out_channels=HINT, **plain),
            "union": ControlNetUnionModel(conditioning_embedding_out_channels=HINT, **_SDXL, **union),
        }
        for net in nets.values():
            awaken(net.eval(), 0.2)
    return _written(folder, pipeline, nets)


def _written(folder: Path, pipeline: Any, nets: dict[str, Any]) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    for kind, net in nets.items():
        net.save_pretrained(folder / f"controlnet-{kind}", safe_serialization=True)
    return folder


@dataclass(frozen=True, slots=True)
class Whole:
    """A model in a diffusers folder, the same in one file, and its ControlNet for edges in another."""

    folder: Path
    file: Path
    canny: Path

    @property
    def tokenizer(self) -> Path:
        """Of the file, whose words are not CLIP's."""
        return self.folder / "tokenizer"

    @property
    def nets(self) -> dict[str, str]:
        """Kind -> file of each ControlNet: `canny` as its training code names its tensors, others as diffusers does."""
        folders = {path.name.removeprefix("controlnet-"): path for path in self.folder.glob("controlnet-*")}
        files = {kind: path / "diffusion_pytorch_model.safetensors" for kind, path in folders.items()}
        return {kind: str(path) for kind, path in (files | {"canny": self.canny}).items()}


def whole(family: str, place: Path) -> Whole:
    """Write the model of `family`, `sd15` or `sdxl`, into `place`."""
    make, names = {"sd15": (sd15, trained_names.sd15), "sdxl": (sdxl, trained_names.sdxl)}[family]
    made = Whole(make(place / "folder"), place / "whole.safetensors", place / "canny.safetensors")
    trained_names.write(names(made.folder), made.file)
    trained_names.write(trained_names.controlnet(made.folder / "controlnet-canny"), made.canny)
    return made


def shared(family: str, factory: pytest.TempPathFactory) -> Whole:
    """The same, made once in a test run."""
    name = f"whole-{family}"
    with first(factory, name) as mine:
        if mine:
            whole(family, mine)
    place = of_run(factory, name)
    return Whole(place / "folder", place / "whole.safetensors", place / "canny.safetensors")


def require_the_same(file: Source, folder: Source) -> None:
    """Require that a single file says of its model what the folder says; a scheduler only has what was published."""
    ours, theirs = facts_of(file, "mine"), facts_of(folder, "mine")
    told = {field: (getattr(ours, field), getattr(theirs, field)) for field in ours.__struct_fields__}
    told.pop("scheduler")
    assert all(one == other for one, other in told.values()), told
    assert {key: folder.scheduler.get(key) for key in file.scheduler} == dict(file.scheduler)
