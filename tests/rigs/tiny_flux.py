"""A random FLUX-shaped model in a diffusers folder, for tests: the real architecture, a thousandth of the size.

`make` writes one: 5 double and 6 single blocks, an unequal depth on purpose, dynamic
shifts, a T5 of 64 words. Its ControlNets: `union` of seven kinds, 2 + 2 deep.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxControlNetModel, FluxPipeline, FluxTransformer2DModel
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from tests.rigs.tiny_layers import clip, clip_tokenizer, vae

WORDS, WIDTH, POOLED, CHANNELS = 64, 32, 24, 4
_SHAPE: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "axes_dims_rope": (4, 6, 6),
    "joint_attention_dim": WIDTH,
    "pooled_projection_dim": POOLED,
}
_PUBLISHED: dict[str, Any] = {
    "num_attention_heads": 1,
    "attention_head_dim": 128,
    "axes_dims_rope": (16, 56, 56),
    "num_layers": 1,
    "num_single_layers": 1,
}
_PUBLISHED_VAE: dict[str, Any] = {"block_out_channels": (32, 32, 64, 64), "norm_num_groups": 32, "sample_size": 1024}


def make(
    folder: Path,
    guidance: bool = True,
    union: bool = True,
    depth: tuple[int, int] = (2, 2),
    extra: int = 0,
    seed: int = 0,
    kind: str = "union",
    published: bool = False,
) -> Path:
    """Write a model into `folder` and return it.

    `guidance`: whether it reads a guidance scale (dev) or not (schnell). `union`, `depth` and `kind`: of its
    ControlNet; no blocks: none. `extra`: further packed channels that it reads, first those of a picture's latents.
    `published`: few blocks, with the heads and groups of the published ones, which no shape of a tensor tells.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        first, second = clip_tokenizer(), _words()
        transformer = _transformer(guidance, extra, _PUBLISHED if published else {})
        net = _net(union, depth, guidance) if sum(depth) else None
        t5 = T5EncoderModel(
            T5Config(
                vocab_size=len(second),
                d_model=WIDTH,
                d_kv=8,
                num_heads=1 if published else 4,
                d_ff=64,
                num_layers=2,
                feed_forward_proj="gated-gelu",
                dropout_rate=0.0,
            )
        ).eval()
        pipeline: Any = FluxPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(
                shift=3.0 if guidance else 1.0,
                use_dynamic_shifting=guidance,
                base_shift=0.5,
                max_shift=1.15,
                base_image_seq_len=256,
                max_image_seq_len=4096,
            ),
            vae=vae(
                CHANNELS,
                scaling_factor=0.3611,
                shift_factor=0.1159,
                use_quant_conv=False,
                use_post_quant_conv=False,
                **(_PUBLISHED_VAE if published else {}),
            ),
            text_encoder=clip(first, POOLED, heads=1 if published else 4),
            tokenizer=first,
            text_encoder_2=t5,
            tokenizer_2=second,
            transformer=transformer,
        )
    pipeline.save_pretrained(folder, safe_serialization=True)
    if net is not None:
        net.save_pretrained(folder / f"controlnet-{kind}", safe_serialization=True)
    return folder


def _transformer(guidance: bool, extra: int, shape: Mapping[str, Any]) -> Any:
    made = FluxTransformer2DModel(
        in_channels=4 * CHANNELS + extra,
        out_channels=4 * CHANNELS,
        guidance_embeds=guidance,
        **{"num_layers": 5, "num_single_layers": 6, **_SHAPE, **shape},
    ).eval()
    if extra:
        # As many channels as a mask has would leave the latents without weight.
        for part in made.x_embedder.weight.split([4 * CHANNELS, 4 * CHANNELS, extra - 4 * CHANNELS], dim=1):
            torch.nn.init.normal_(part, std=max(part.shape[1], 1) ** -0.5)
    out = made(
        torch.randn(2, 64, 4 * CHANNELS + extra),
        torch.randn(2, 20, WIDTH),
        torch.randn(2, POOLED),
        torch.rand(2),
        torch.zeros(64, 3),
        torch.zeros(20, 3),
        torch.full((2,), 3.5) if guidance else None,
    ).sample
    made.proj_out.weight.div_(out.std())
    return made


def _net(union: bool, depth: tuple[int, int], guidance: bool) -> Any:
    net = FluxControlNetModel(
        in_channels=4 * CHANNELS,
        num_layers=depth[0],
        num_single_layers=depth[1],
        num_mode=7 if union else None,
        guidance_embeds=guidance,
        **_SHAPE,
    ).eval()
    for zero in (*net.controlnet_blocks, *net.controlnet_single_blocks, net.controlnet_x_embedder):
        torch.nn.init.normal_(zero.weight, std=0.3)
    if union:
        # Left as it is made, one mode is much like another.
        net.controlnet_mode_embedder.weight.mul_(20)
    return net


def _words() -> Any:
    """A T5 tokenizer of few pieces: words and single characters. Trained, it would be another one every time."""
    colours = ("red", "green", "blue", "yellow", "white", "black")
    shapes = ("star", "circle", "square", "ring", "triangle", "cross")
    whole = [f"▁{word}" for word in ("a", "on", "background", "large", *colours, *shapes)]
    single = ["▁", *"abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'()[]<>-_/"]
    scores = {piece: -3.0 - place / 100 for place, piece in enumerate(whole)}
    scores |= {piece: -8.0 - place / 100 for place, piece in enumerate(single)}
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    made = Tokenizer(models.Unigram([*special, *scores.items()], unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return T5Tokenizer(tokenizer_object=made, model_max_length=WORDS, extra_ids=0)
