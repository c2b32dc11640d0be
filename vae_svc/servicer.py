"""VaeService: decode, call, encode."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from controlmesh.v1 import types_pb2, vae_pb2, vae_pb2_grpc
from families import graphs
from families.limits import SAMPLES
from families.loaded import LoadedModels
from families.manifest import Manifest
from families.table import family_of
from mesh.admission import Admission
from mesh.decoders import Decoding, Threads
from mesh.errors import InvalidInput
from mesh.pictures import Format, Pixels, decode_fitted, encode
from mesh.tensors import to_array, to_message
from mesh.triton import Triton
from vae_svc.vae import Array, check_decoder, decode_latents, encode_picture

FORMATS: dict[int, Format] = {
    types_pb2.IMAGE_FORMAT_UNSPECIFIED: "PNG",
    types_pb2.IMAGE_FORMAT_PNG: "PNG",
    types_pb2.IMAGE_FORMAT_JPEG: "JPEG",
    types_pb2.IMAGE_FORMAT_WEBP: "WEBP",
}
_NUMBERS = {name: number for number, name in FORMATS.items()}


class VaeServicer(vae_pb2_grpc.VaeServiceServicer):
    """Serves VaeService.

    Args:
        models: the loaded models.
        triton: client of the model server.
        admission: limit on concurrent requests.
        repository: folder to watch for added and removed models; None for a fixed set.
        decoding: decodes pictures; None: in threads of this process.
    """

    def __init__(
        self,
        models: list[Manifest],
        triton: Triton,
        admission: Admission,
        repository: Path | None = None,
        decoding: Decoding | None = None,
    ) -> None:
        self._models = LoadedModels(models, repository)
        self._triton = triton
        self._admission = admission
        self._decoding = decoding or Threads()

    async def Decode(self, request: vae_pb2.DecodeRequest, context: Any) -> vae_pb2.DecodeResponse:
        """Decode latents to pictures; see the .proto."""
        facts = await self._models.seek(request.latents.model, self._is_served)
        latents = to_array(request.latents.samples, field="latents", ndim=4)
        if not SAMPLES.holds(latents.shape[0]) or latents.shape[1] != facts.latent_channels:
            expected = f"[{SAMPLES}, {facts.latent_channels}, h, w]"
            raise InvalidInput(f"latents must be {expected}, not {list(latents.shape)}", field="latents")
        _check_size(facts, latents.shape[3] * facts.downscale, latents.shape[2] * facts.downscale, "latents")
        format = FORMATS.get(request.format)
        if format is None:
            raise InvalidInput("format must be PNG, JPEG or WEBP", field="format")
        mask = _mask_of(request, latents.shape[2] * facts.downscale, latents.shape[3] * facts.downscale)
        async with self._admission:
            pictures = await decode_latents(self._triton, facts, latents)
            if mask is not None:
                original = await self._fitted(request.original.content, mask.shape[1], mask.shape[0])
                pictures = await asyncio.to_thread(_merged, pictures, original, mask)
            files = await asyncio.gather(*(asyncio.to_thread(encode, picture, format) for picture in pictures))
        height, width = pictures.shape[1:3]
        return vae_pb2.DecodeResponse(
            images=[
                types_pb2.Image(content=file, format=_NUMBERS[format], width=width, height=height)  # type: ignore[arg-type]
                for file in files
            ]
        )

    async def Encode(self, request: vae_pb2.EncodeRequest, context: Any) -> vae_pb2.EncodeResponse:
        """Encode a picture to its posterior; see the .proto."""
        facts = await self._models.seek(request.model, self._is_served)
        _check_size(facts, request.width, request.height)
        mask = None
        if request.HasField("mask"):
            if not facts.repaints:
                raise InvalidInput(f"mask is not read by model {facts.name!r}: remove it", field="mask")
            mask = _read_mask(request.mask, request.height, request.width)
        async with self._admission:
            pixels = await self._fitted(request.image.content, request.width, request.height)
            mean, deviation = await encode_picture(self._triton, facts, pixels, mask)
        posterior = types_pb2.Posterior(model=facts.name, mean=to_message(mean), deviation=to_message(deviation))
        return vae_pb2.EncodeResponse(posterior=posterior)

    async def probe(self) -> None:
        """Raise MeshError while the VAE shows nothing; every call tries the next model, and looks for new ones."""
        await self._models.renew(self._is_served)
        facts = self._models.in_turn()
        await check_decoder(self._triton, facts)

    async def _fitted(self, content: bytes, width: int, height: int) -> Pixels:
        return await self._decoding.run(decode_fitted, content, "image", width, height, field="image")

    async def _is_served(self, card: Manifest) -> bool:
        # Loading the graphs is unet_svc's task; this only waits for them.
        return await self._triton.is_ready(graphs.vae_decoder(card.name))


def _mask_of(request: vae_pb2.DecodeRequest, height: int, width: int) -> Pixels | None:
    """The mask to merge by; None if there is no original to merge with."""
    has = request.HasField("original"), request.HasField("mask")
    if has == (False, False):
        return None
    if has != (True, True):
        raise InvalidInput("original and mask belong together; send both or neither", field="mask")
    return _read_mask(request.mask, height, width)


def _read_mask(sent: types_pb2.Tensor, height: int, width: int) -> Pixels:
    mask = to_array(sent, field="mask", ndim=2, dtype="uint8")
    if mask.shape != (height, width):
        raise InvalidInput(f"mask must be {[height, width]}, not {list(mask.shape)}", field="mask")
    return mask.astype(np.uint8, copy=False)


def _merged(pictures: Array, original: Pixels, mask: Pixels) -> Array:
    """Merge `pictures` where the mask repaints with `original` elsewhere, as diffusers' `apply_overlay` does."""
    return np.where((mask >= 128)[None, :, :, None], pictures, original[None])


def _check_size(facts: Manifest, width: int, height: int, field: str = "") -> None:
    if wrong := family_of(facts).check_size(width, height):
        name, reason = wrong
        raise InvalidInput(f"{field}: {reason}" if field else reason, field=field or name)
