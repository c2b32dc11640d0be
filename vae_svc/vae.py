"""Run the VAE of a loaded model on arrays."""

import numpy as np
from numpy.typing import NDArray

from families import graphs
from families.facts import ModelFacts
from families.pictures import encoder_inputs
from families.soundness import is_flat, is_smooth, lacks_colour, rough_latents, shows
from mesh.errors import InternalError
from mesh.pictures import Pixels
from mesh.soundness import UNSOUND, not_finite, sound
from mesh.telemetry import log
from mesh.triton import Triton

Array = NDArray[np.generic]


NOTHING = "the VAE made a picture of nothing (one flat colour) twice; its weights or their precision may be broken"
DULL = "the pictures of this model's VAE lack a colour or all contrast; its weights or their precision may be broken"
_CELLS = 8


async def decode_latents(triton: Triton, facts: ModelFacts, latents: Array) -> Array:
    """Decode FLOAT32 [n, channels, h, w] latents to pictures UINT8 [n, height, width, 3]; the graph does the scaling.

    A flat picture is decoded once more. It is right only for flat latents, and only if the VAE shows others: NaN
    becomes one flat colour on the way to bytes. A picture with one flat channel is right if the VAE shows others.

    Raises:
        InternalError: the latents are not finite, or a picture shows nothing; neither must count as a success.
        MeshError: as `Triton.infer`.
    """
    if not np.isfinite(latents).all():
        raise InternalError("the latents are not finite; try another scheduler, fewer controls or a lower guidance")
    pictures = await _decoded(triton, facts, latents)
    flat = [index for index, picture in enumerate(pictures) if is_flat(picture)]
    if flat:
        UNSOUND.inc(len(flat))
        pictures = pictures.copy()
        log.warning("a flat picture is decoded once more", model=facts.name)
        pictures[flat] = await _decoded(triton, facts, latents[flat])
    still = [index for index in flat if is_flat(pictures[index])]
    if not all(is_smooth(latents[index]) for index in still):
        raise InternalError(NOTHING)
    # A flat picture lacks colours, too.
    if any(lacks_colour(picture) for picture in pictures) and not await _shows(triton, facts):
        UNSOUND.inc()
        raise InternalError(NOTHING if still else DULL)
    return pictures


async def _shows(triton: Triton, facts: ModelFacts) -> bool:
    """Whether the VAE makes a picture of latents that have content."""
    (picture,) = await _decoded(triton, facts, rough_latents(facts.latent_channels, _CELLS))
    return shows(picture)


async def check_decoder(triton: Triton, facts: ModelFacts) -> None:
    """Decode latents with content, as few as there can be.

    Raises:
        InternalError: the picture shows nothing, or nothing of one colour.
        MeshError: as `Triton.infer`.
    """
    (picture,) = await decode_latents(triton, facts, rough_latents(facts.latent_channels, _CELLS))
    if not shows(picture):
        raise InternalError(DULL)


async def _decoded(triton: Triton, facts: ModelFacts, latents: Array) -> Array:
    return (await triton.infer(graphs.vae_decoder(facts.name), {"latents": latents}, ["image"]))["image"]


async def encode_picture(
    triton: Triton, facts: ModelFacts, pixels: Pixels, mask: Pixels | None = None
) -> tuple[Array, Array]:
    """Encode a picture UINT8 [height, width, 3], whose sides are multiples of the model's downscale, to its posterior.

    mask: UINT8 [height, width], 255 where the picture is hidden; only of models that repaint.

    Returns mean and standard deviation, FLOAT32 [1, channels, h, w] each, scaled.

    Raises:
        InternalError: the posterior is not finite.
        MeshError: as `Triton.infer`.
    """
    inputs = encoder_inputs(facts, pixels[None], None if mask is None else mask[None])
    answer = await sound(
        lambda: triton.infer(graphs.vae_encoder(facts.name), inputs, ["mean", "deviation"]),
        not_finite("the latents of the initial picture", "the weights of the model's VAE may be broken"),
    )
    return answer["mean"], answer["deviation"]
