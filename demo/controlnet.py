"""Train the demo's ControlNets, one per kind of hint, on the finished and frozen UNet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from numpy.typing import NDArray

from demo import corpus
from demo.corpus import Example
from demo.descent import autocast, descend
from demo.diffusion import Noising, stratified_timesteps
from demo.distributed import Crew
from demo.recipe import Schedule
from demo.unet import CAPTION_DROP, Captions

HINT_CHANNELS = (8, 16, 32, 64)
#: Below this timestep the picture is nearly finished and a hint has no effect.
LOWEST_TIMESTEP = 100
#: Colours are decided early, so the noisy end is drawn more often.
TIMESTEP_POWER = 0.7
#: In one batch of twenty, half of the captions are dropped, so that the hint alone has to determine the picture.
FORGETFUL_SHARE, FORGOTTEN = 0.05, 0.55
#: With several solids the hint shows where each of them is, and only the control can tell which colour belongs there.
#: So four pictures in five have several, and a cell full of solid counts four times as much as one of ground.
CROWDED_SHARE = 0.8
SOLID_WEIGHT = 3.0
#: In a picture with a mask, the kept part counts more than ground, because it has to be restored from noise exactly; so
#: does a cell that the mask's border divides, where old and new have to match.
KEPT_WEIGHT, SEAM_WEIGHT = 1.0, 2.0
#: The layers that start at zero learn faster.
FASTER = dict.fromkeys(("controlnet_down_blocks", "controlnet_mid_block", "controlnet_cond_embedding.conv_out"), 2.0)


def build_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """A copy of the UNet's encoder whose residuals are zero (Zhang et al. 2023)."""
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINT_CHANNELS)
    controlnet.set_attn_processor(AttnProcessor())
    return controlnet.requires_grad_(True)


def sampling_odds(solids: Sequence[int]) -> torch.Tensor:
    """How often each example is drawn, given its number of solids: crowded ones make up CROWDED_SHARE, float32 [n]."""
    crowded = torch.tensor([count > 1 for count in solids])
    many, single = int(crowded.sum()), int((~crowded).sum())
    share = torch.where(crowded, CROWDED_SHARE / max(many, 1), (1 - CROWDED_SHARE) / max(single, 1))
    return share / share.sum()


def conditioning(hints: NDArray[np.uint8]) -> torch.Tensor:
    """Hints as the ControlNet reads them: uint8 [n, H, W, 3 or 4] -> float32 [n, 3, H, W], 0..1.

    Where a fourth channel marks what to repaint, -1 (Zhang's ControlNet 1.1 inpaint).
    """
    channels = torch.from_numpy(hints).permute(0, 3, 1, 2)
    picture, marked = channels[:, :3].float() / 255, channels[:, 3:] >= 128
    return torch.where(marked, -1.0, picture) if marked.shape[1] else picture


def attention(chosen: Sequence[Example], hints: NDArray[np.uint8], cells: int) -> torch.Tensor:
    """How much every latent cell counts, of mean 1 over a picture: float32 [n, 1, cells, cells]."""
    wanted = 1 + SOLID_WEIGHT * torch.from_numpy(corpus.coverage(chosen, cells))
    if hints.shape[-1] == 4:
        repainted = torch.from_numpy(np.stack([corpus.cell_shares(hint[..., 3] >= 128, cells) for hint in hints]))
        kept, seam = 1 - repainted, 4 * repainted * (1 - repainted)
        wanted = repainted * wanted + kept * (1 + KEPT_WEIGHT) + seam * SEAM_WEIGHT
    return wanted / wanted.mean((1, 2, 3), keepdim=True)


def train_controlnet(
    crew: Crew,
    unet: UNet2DConditionModel,
    chosen: Sequence[Example],
    hints: NDArray[np.uint8],
    latents: torch.Tensor,
    captions: Captions,
    schedule: Schedule,
) -> tuple[ControlNetModel, list[float]]:
    """hints: uint8 [n, H, W, 3 or 4]; latents: float16 [n, 4, h, w]; both and `captions` in the order of `chosen`."""
    unet.requires_grad_(False).eval().set_attn_processor(AttnProcessor())
    controlnet, noising = build_controlnet(unet), Noising()
    batch = schedule.batch // crew.size
    odds = sampling_odds([len(example.scene.solids) for example in chosen])
    weights = attention(chosen, hints, latents.shape[-1])

    def loss_of_step(step: int) -> torch.Tensor:
        picked = torch.multinomial(odds, batch, replacement=True)
        timesteps = stratified_timesteps(batch, lowest=LOWEST_TIMESTEP, power=TIMESTEP_POWER)
        sample, velocity = noising(latents[picked].float(), timesteps)
        text = captions.hidden(picked, FORGOTTEN if torch.rand(()) < FORGETFUL_SHARE else CAPTION_DROP)
        hint = conditioning(hints[picked.numpy()])
        with autocast():
            residuals, middle = controlnet(sample, timesteps, text, controlnet_cond=hint, return_dict=False)
            prediction = unet(
                sample,
                timesteps,
                text,
                down_block_additional_residuals=residuals,
                mid_block_additional_residual=middle,
                return_dict=False,
            )[0]
        return noising.loss(prediction, velocity, timesteps, weights[picked])

    trained, losses = descend(crew, controlnet, schedule, loss_of_step, faster=FASTER)
    trained.set_default_attn_processor()
    return trained, losses
