"""Whether a picture shows nothing although its latents show something, as behind a VAE that makes NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_BORDER = 2
"""Cells at each side of the latents that differ even where the picture is of one colour: convolutions see its end."""
_SMOOTH = 0.3
"""Standard deviation below which latents are those of one colour, of which a VAE's noise gives 0.1 at most and any
content 0.5 or more; the scaled latents of pictures have 1."""


def is_flat(picture: Array) -> bool:
    """Whether every pixel of a picture [h, w, 3] has the same value in every channel, or in each its own."""
    first = picture[:1, :1]
    # Few pixels are enough for nearly every picture.
    return bool((picture[::16, ::16] == first).all() and (picture == first).all())


def is_smooth(latents: Array) -> bool:
    """Whether latents FLOAT32 [channels, h, w] may be those of a picture of one colour."""
    height, width = latents.shape[1:]
    top, left = (_BORDER if side > 2 * _BORDER else 0 for side in (height, width))
    inside = latents[:, top : height - top, left : width - left]
    return bool(inside.std(axis=(1, 2), dtype=np.float64).max() < _SMOOTH)


def rough_latents(channels: int, cells: int) -> Array:
    """FLOAT32 [1, channels, cells, cells] with content, always the same: no VAE that works makes one colour of them."""
    return np.random.default_rng(0).standard_normal((1, channels, cells, cells)).astype(np.float32)
