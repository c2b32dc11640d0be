"""A linear map from latents to small pictures, fitted to the model's own VAE on pictures that are made up here.

A latent cell stands for a patch of the picture, and most of what the VAE writes into it is the patch's mean colour: a
linear map finds that again (known from "latent2rgb" tables of Stable Diffusion tools, which hold it for one VAE). The
pictures are flat colours, gradients and patches of two colours; no data set takes part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float64]
Map = tuple[tuple[float, float, float], ...]
Encode = Callable[[Pixels], NDArray[np.float32]]
"""Pictures UINT8 [n, side, side, 3] -> means of their posteriors FP32 [n, channels, side / downscale, ...], scaled."""

CELLS = 8
"""Latent cells on one side of a fitted picture."""
PICTURES = 96
BATCH = 8
DIGITS = 5


def fit(encode: Encode, downscale: int) -> Map:
    """`families.manifest.Manifest.preview` of a VAE, by least squares over every cell of the pictures."""
    pictures = synthetic(PICTURES, CELLS * downscale)
    batches = [encode(pictures[at : at + BATCH]) for at in range(0, PICTURES, BATCH)]
    found, *_ = np.linalg.lstsq(_columns(np.concatenate(batches)), pooled(pictures, downscale).reshape(-1, 3))
    return tuple((float(red), float(green), float(blue)) for red, green, blue in found.round(DIGITS))


def pooled(pictures: Pixels, downscale: int) -> Plane:
    """Mean colour of every latent cell, 0 to 1: [n, H, W, 3] -> [n, H / downscale, W / downscale, 3]."""
    count, height, width, channels = pictures.shape
    cells = pictures.reshape(count, height // downscale, downscale, width // downscale, downscale, channels)
    means: Plane = cells.mean(axis=(2, 4)) / 255
    return means


def seen(latents: NDArray[np.float32], preview: Map) -> Plane:
    """What the map makes of latents [n, channels, h, w]: [n, h, w, 3], about 0 to 1, not clipped."""
    count, _, height, width = latents.shape
    colours: Plane = _columns(latents) @ np.asarray(preview)
    return colours.reshape(count, height, width, 3)


def _columns(latents: NDArray[np.float32]) -> Plane:
    cells = latents.transpose(0, 2, 3, 1).reshape(-1, latents.shape[1]).astype(np.float64)
    return np.concatenate([cells, np.ones((len(cells), 1))], axis=1)


def synthetic(count: int, side: int) -> Pixels:
    """Made-up pictures UINT8 [count, side, side, 3], the same for the same arguments: each kind in its turn."""
    rng = np.random.default_rng(0)
    made = [_KINDS[index % len(_KINDS)](rng, side) for index in range(count)]
    return (np.stack(made) * 255).round().astype(np.uint8)


def _flat(rng: np.random.Generator, side: int) -> Plane:
    return np.broadcast_to(rng.random(3), (side, side, 3))


def _gradient(rng: np.random.Generator, side: int) -> Plane:
    return _mixed(rng, (_ramp(rng, side) + 1) / 2)


def _patches(rng: np.random.Generator, side: int) -> Plane:
    """Two colours, a straight line or a circle between them."""
    y, x = np.mgrid[0:side, 0:side] / side
    centre, radius = rng.random(2), rng.uniform(0.15, 0.45)
    inside = np.hypot(x - centre[0], y - centre[1]) < radius
    beyond = _ramp(rng, side) > rng.uniform(-0.5, 0.5)
    return _mixed(rng, (inside if rng.random() < 0.5 else beyond).astype(np.float64))


def _ramp(rng: np.random.Generator, side: int) -> Plane:
    """-1 to 1 along a direction of chance."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    ramp: Plane = x * np.cos(angle) + y * np.sin(angle)
    ramp /= np.abs(ramp).max()
    return ramp


def _mixed(rng: np.random.Generator, share: Plane) -> Plane:
    first, second = rng.random((2, 3))
    mixed: Plane = first + share[..., None] * (second - first)
    return mixed


_KINDS = (_flat, _gradient, _patches)
