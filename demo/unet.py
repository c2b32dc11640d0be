"""The demo's denoiser: a UNet2DConditionModel trained to predict the velocity of whitened latents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from demo.corpus import Example, token_ids
from demo.descent import autocast, descend
from demo.diffusion import Noising, stratified_timesteps
from demo.distributed import Crew
from demo.recipe import PICTURE_SIZE, Schedule
from demo.text_encoder import WIDTH
from demo.vae import CHANNELS, LATENT_CHANNELS

CAPTION_DROP = 0.1
TIMESTEP_POWER = 0.85


def build_unet() -> UNet2DConditionModel:
    """A fresh UNet whose first prediction is zero."""
    unet = UNet2DConditionModel(
        sample_size=PICTURE_SIZE // 2 ** (len(CHANNELS) - 1),
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(64, 96, 128),
        norm_num_groups=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,  # diffusers reads this as the number of heads
    )
    nn.init.zeros_(unet.conv_out.weight)
    nn.init.zeros_(unet.conv_out.bias)
    # The fused attention kernels are slow backwards on a CPU.
    unet.set_attn_processor(AttnProcessor())
    return unet


class Captions:
    """Training captions as the frozen text encoder hands them on; some are replaced by the empty caption."""

    def __init__(self, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, chosen: Sequence[Example]) -> None:
        self._encoder = encoder
        self._ids = token_ids(tokenizer, chosen)
        empty = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length).input_ids
        self._empty = torch.tensor(empty)

    @torch.no_grad()
    def hidden(self, picked: torch.Tensor, drop: float) -> torch.Tensor:
        """A random caption of each picked example, dropped with probability `drop`: [n] -> [n, 77, width]."""
        tokens = self._ids[picked, torch.randint(self._ids.shape[1], (len(picked),))].long()
        tokens[torch.rand(len(picked)) < drop] = self._empty
        with autocast():
            return self._encoder(input_ids=tokens).last_hidden_state


def train_unet(
    crew: Crew, latents: torch.Tensor, captions: Captions, schedule: Schedule
) -> tuple[UNet2DConditionModel, list[float]]:
    """latents: float16 [n, 4, h, w], unit normal, in the order of `captions` -> (UNet, losses)."""
    unet, noising = build_unet(), Noising()
    batch = schedule.batch // crew.size

    def loss_of_step(step: int) -> torch.Tensor:
        picked = torch.randint(len(latents), (batch,))
        timesteps = stratified_timesteps(batch, power=TIMESTEP_POWER)
        sample, velocity = noising(latents[picked].float(), timesteps)
        text = captions.hidden(picked, CAPTION_DROP)
        with autocast():
            prediction = unet(sample, timesteps, text, return_dict=False)[0]
        return noising.loss(prediction, velocity, timesteps)

    trained, losses = descend(crew, unet, schedule, loss_of_step)
    trained.set_default_attn_processor()
    return trained, losses
