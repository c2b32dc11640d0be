"""Whether a picture shows nothing although its latents show something, as behind a VAE that makes NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LEAST_SPREAD = 4
"""Levels between the darkest and the lightest pixel that each channel has at least for `rough_latents`."""
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


def shows(picture: Array) -> bool:
    """Whether a picture UINT8 [h, w, 3] of latents with content has some in every channel: NaN in the weights of one
    colour leaves that one flat, and weights near 0 leave next to nothing in all."""
    return bool((picture.max(axis=(0, 1)).astype(int) - picture.min(axis=(0, 1)) >= _LEAST_SPREAD).all())


def lacks_colour(picture: Array) -> bool:
    """Whether a channel of a picture [h, w, 3] has one value everywhere, as in a picture of pure red, or behind NaN."""
    if not (picture[::16, ::16] == picture[:1, :1]).all(axis=(0, 1)).any():
        return False
    return bool((picture == picture[:1, :1]).all(axis=(0, 1)).any())


def is_smooth(latents: Array) -> bool:
    """Whether latents FLOAT32 [channels, h, w] may be those of a picture of one colour."""
    height, width = latents.shape[1:]
    top, left = (_BORDER if side > 2 * _BORDER else 0 for side in (height, width))
    inside = latents[:, top : height - top, left : width - left]
    return bool(inside.std(axis=(1, 2), dtype=np.float64).max() < _SMOOTH)


def rough_latents(channels: int, cells: int) -> Array:
    """FLOAT32 [1, channels, cells, cells] with content, always the same: no VAE that works makes one colour of them."""
    return np.random.default_rng(0).standard_normal((1, channels, cells, cells)).astype(np.float32)
