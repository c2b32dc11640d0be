"""A random SD1.5-shaped model in a diffusers folder, for tests: the real architecture, a thousandth of the size.

`make` writes one. What Stable Diffusion 1.5 has is there: four levels, 12 + 1
residuals, epsilon prediction, leading timesteps, attention in the middle of the VAE, a tokenizer in vocab.json and
merges.txt. Its output layers are scaled so that predictions, pictures and latents have the spread of a trained model's;
ControlNets have non-zero output layers. A test that feeds it a wrong picture, text, hint or scale therefore gets
another picture.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TOKENIZER = Path(__file__).parents[2] / "demo" / "weights" / "tokenizer"
"""The demo's: byte-level BPE in CLIP's format, some 700 tokens."""
WIDTH = 32
"""Channels of a token's hidden state."""


def make(
    folder: Path,
    kinds: Sequence[str] = ("canny", "depth", "inpaint"),
    prediction_type: str = "epsilon",
    seed: int = 0,
    pooled: Sequence[str] = (),
    variant: str | None = None,
    in_channels: int = 4,
) -> Path:
    """Write a model with a ControlNet for each of `kinds` into `folder` and return it.

    `pooled` are kinds whose ControlNet has global_pool_conditions; `variant="fp16"` writes half-precision files under
    diffusers' variant names; of 9 `in_channels` the UNet reads a mask and a masked picture. The same arguments write
    the same weights.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        tokenizer = _tokenizer()
        unet, vae, text_encoder = _unet(in_channels), _vae(), _text_encoder(tokenizer)
        controls = {kind: _controlnet(unet, kind in pooled) for kind in kinds}
        _spread(unet, vae)
        for control in controls.values():
            _spread_hints(control)
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        set_alpha_to_one=False,
        skip_prk_steps=True,
        steps_offset=1,
        prediction_type=prediction_type,
    )
    # Stable Diffusion 1.5's own file says so for DDIM's sake; PNDM itself does not know it.
    scheduler.register_to_config(clip_sample=False)
    pipeline: Any = StableDiffusionPipeline(
        vae, text_encoder, tokenizer, unet, scheduler, None, None, requires_safety_checker=False
    )
    models = [pipeline, *controls.values()]
    if variant == "fp16":
        models = [model.to(torch.float16) for model in models]
    for model, place in zip(models, [folder, *(folder / f"controlnet-{kind}" for kind in controls)], strict=True):
        model.save_pretrained(place, safe_serialization=True, variant=variant)
    _as_sd15_has_it(folder / "tokenizer")
    return folder


def _tokenizer() -> Any:
    return CLIPTokenizer.from_pretrained(TOKENIZER, local_files_only=True)


def _as_sd15_has_it(tokenizer: Path) -> None:
    whole = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))
    vocabulary = whole["model"]["vocab"] | {token["content"]: token["id"] for token in whole["added_tokens"]}
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in whole["model"]["merges"]]
    (tokenizer / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    (tokenizer / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")
    (tokenizer / "tokenizer.json").unlink()


def _text_encoder(tokenizer: Any) -> Any:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            # Larger than CLIP's 0.02: at this width that would leave the words without weight.
            initializer_range=0.3,
        )
    ).eval()


def _unet(in_channels: int) -> Any:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=in_channels,
        block_out_channels=(32, 32, 64, 64),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    ).eval()


def _vae() -> Any:
    return AutoencoderKL(
        block_out_channels=(16, 16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
    ).eval()


def _controlnet(unet: Any, pooled: bool) -> Any:
    made = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 16, 16))
    made.register_to_config(global_pool_conditions=pooled)
    zeros = [*made.controlnet_down_blocks, made.controlnet_mid_block, made.controlnet_cond_embedding.conv_out]
    for layer in zeros:
        torch.nn.init.normal_(layer.weight, std=0.2)
    return made.eval()


def _spread(unet: Any, vae: Any) -> None:
    """Scale the last layers: a prediction of standard deviation 1, a picture of 0.5 in [-1, 1], latents of mean 0 and
    standard deviation 1 with a posterior a tenth as wide."""
    sample = torch.randn(2, unet.config.in_channels, 16, 16)
    predicted = unet(sample, 500, encoder_hidden_states=torch.randn(2, 77, WIDTH)).sample
    unet.conv_out.weight.div_(predicted.std())
    picture = vae.decode(torch.randn(2, 4, 16, 16) / vae.config.scaling_factor).sample
    vae.decoder.conv_out.weight.mul_(0.5 / picture.std())
    posterior = vae.encode(_blocks(4, -1, 1)).latent_dist
    channels = posterior.mean.shape[1]
    layer, wanted = vae.quant_conv, 1 / vae.config.scaling_factor
    spread = posterior.mean.std(dim=(0, 2, 3)) / wanted
    layer.bias[:channels].sub_(posterior.mean.mean(dim=(0, 2, 3))).div_(spread)
    layer.weight[:channels].div_(spread[:, None, None, None])
    layer.bias[channels:].sub_(2 * (posterior.std.mean() / (0.1 * wanted)).log())


def _spread_hints(controlnet: Any) -> None:
    """Embedded hints of mean 0 and standard deviation 1: left as they are made, one hint is much like another."""
    embedding = controlnet.controlnet_cond_embedding
    embedded = embedding(_blocks(8, 0, 1))
    spread = embedded.std(dim=(0, 2, 3))
    embedding.conv_out.bias.sub_(embedded.mean(dim=(0, 2, 3))).div_(spread)
    embedding.conv_out.weight.div_(spread[:, None, None, None])


def _blocks(count: int, low: float, high: float) -> Any:
    """Pictures of 128 px in blocks of 8 px, each of a random colour from `low` to `high`."""
    return torch.nn.functional.interpolate(low + (high - low) * torch.rand(count, 3, 16, 16), scale_factor=8)
