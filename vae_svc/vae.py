"""Run the VAE of a loaded model on arrays."""

import numpy as np
from numpy.typing import NDArray

from families import graphs
from families.manifest import ModelFacts
from mesh.errors import InternalError
from mesh.pictures import Pixels
from mesh.triton import Triton

Array = NDArray[np.generic]


async def decode_latents(triton: Triton, facts: ModelFacts, latents: Array) -> Array:
    """Decode FLOAT32 [n, channels, h, w] latents to pictures UINT8 [n, height, width, 3]; the graph does the scaling.

    Raises:
        InternalError: the latents are not finite; a picture of NaN must not count as a success.
        MeshError: as `Triton.infer`.
    """
    if not np.isfinite(latents).all():
        raise InternalError("the latents are not finite; try another scheduler, fewer controls or a lower guidance")
    return (await triton.infer(graphs.vae_decoder(facts.name), {"latents": latents}, ["image"]))["image"]


async def encode_picture(triton: Triton, facts: ModelFacts, pixels: Pixels) -> tuple[Array, Array]:
    """Encode a picture UINT8 [height, width, 3], whose sides are multiples of the model's downscale, to its posterior.

    Returns mean and standard deviation, FLOAT32 [1, channels, h, w] each, scaled.

    Raises:
        MeshError: as `Triton.infer`.
    """
    answer = await triton.infer(graphs.vae_encoder(facts.name), {"image": pixels[None]}, ["mean", "deviation"])
    return answer["mean"], answer["deviation"]
