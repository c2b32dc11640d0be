"""Draw a small preview of latents, without the VAE."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from controlmesh.v1 import types_pb2
from mesh.pictures import encode


def make_preview(latents: NDArray[np.generic], colours: Sequence[Sequence[float]]) -> types_pb2.Image:
    """Draw `latents` as a PNG with one pixel per cell.

    Args:
        latents: clean ones, FLOAT32 [1, channels, h, w], scaled.
        colours: linear map of a cell's channels to red, green and blue: `Manifest.preview`.
    """
    *channels, constants = np.asarray(colours, np.float32)
    cells = np.tensordot(latents[0], np.stack(channels), axes=(0, 0)) + constants
    pixels = np.round(cells.clip(0, 1) * 255).astype(np.uint8)
    height, width = pixels.shape[:2]
    return types_pb2.Image(content=encode(pixels), format=types_pb2.IMAGE_FORMAT_PNG, width=width, height=height)
