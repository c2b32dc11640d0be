"""Train the demo's annotator: every step uses new pictures, some of them redrawn by the demo's own autoencoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from demo.annotator_net import AnnotatorNet
from demo.annotator_pictures import random_shape, training_picture
from demo.annotator_truth import Maps
from demo.corpus import to_tensor
from demo.descent import autocast, descend
from demo.distributed import Crew
from demo.hints import Pixels
from demo.recipe import SEED, Schedule
from demo.scene import Stream, sample_scene, scene_generator
from demo.vae import SCALING_FACTOR

#: Every so many steps the pictures are the autoencoder's, of latents with up to this much noise, of unit normal ones.
REDRAWN_EVERY, LATENT_NOISE = 8, 0.3
#: Ground is most of a picture and easy: solids count this much more in all but edges.
SOLID_WEIGHT = 3.0
#: Where the Huber loss of depth turns from square to straight.
DEPTH_KNEE = 0.02
WEIGHTS = {"depth": 10.0, "normal": 2.0, "segmentation": 2.0, "softedge": 2.0}


def train_annotator(crew: Crew, vae: AutoencoderKL, schedule: Schedule) -> tuple[AnnotatorNet, list[float]]:
    """Train the annotator. vae: the demo's, whitened. Returns (annotator, losses)."""
    vae.requires_grad_(False).eval()
    net = AnnotatorNet()
    batch = schedule.batch // crew.size

    def loss_of_step(step: int) -> torch.Tensor:
        shape = random_shape(np.random.default_rng((SEED, step)))
        made = []
        for number in range(step * schedule.batch + crew.rank, (step + 1) * schedule.batch, crew.size)[:batch]:
            rng = scene_generator(Stream.TRAINING, number)
            made.append(training_picture(sample_scene(rng), shape, rng))
        pictures = np.stack([picture for picture, _ in made])
        if step % REDRAWN_EVERY == REDRAWN_EVERY - 1:
            pictures = redrawn(vae, pictures, LATENT_NOISE * torch.rand(()).item())
        with autocast():
            raw = net.raw(as_input(pictures))
        return loss(raw, [maps for _, maps in made])

    return descend(crew, net, schedule, loss_of_step)


def as_input(pictures: Pixels) -> torch.Tensor:
    """uint8 [n, h, w, 3] -> float32 [n, 3, h, w] of 0..1, as the annotator reads pictures."""
    return to_tensor(pictures) * 0.5 + 0.5


def loss(raw: dict[str, torch.Tensor], wanted: Sequence[Maps]) -> torch.Tensor:
    """raw: AnnotatorNet.raw of the pictures. Huber for depth, 1 - cosine for normals, cross entropy for the rest."""
    depth, normal, edges = (
        torch.from_numpy(np.stack([getattr(maps, name) for maps in wanted])) for name in ("depth", "normal", "softedge")
    )
    labels = torch.from_numpy(np.stack([maps.classes for maps in wanted])).long()
    attention = 1 + SOLID_WEIGHT * (labels > 0)
    attention = attention / attention.mean()
    parts = {
        "depth": attention
        * functional.smooth_l1_loss(raw["depth"][:, 0].sigmoid(), depth, reduction="none", beta=DEPTH_KNEE),
        "normal": attention * (1 - functional.cosine_similarity(raw["normal"], normal, dim=1)),
        "segmentation": attention * functional.cross_entropy(raw["segmentation"], labels, reduction="none"),
        "softedge": functional.binary_cross_entropy_with_logits(raw["softedge"][:, 0], edges),
    }
    return torch.stack([WEIGHTS[name] * part.mean() for name, part in parts.items()]).sum()


@torch.no_grad()
def redrawn(vae: AutoencoderKL, pictures: Pixels, noise: float) -> Pixels:
    """Pictures as the demo's autoencoder gives them back, with noise of this deviation on their unit normal latents."""
    with autocast():
        latents = vae.encode(to_tensor(pictures)).latent_dist.mean.float() * SCALING_FACTOR
        latents = latents + noise * torch.randn_like(latents)
        drawn = vae.decode(latents / SCALING_FACTOR).sample.float()
    return (drawn.clamp(-1, 1) * 127.5 + 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
