"""A picture turned into noise and back over gRPC, as an internal caller would edit one."""

from typing import Any

import numpy as np

from controlmesh.v1 import (
    preprocess_pb2,
    preprocess_pb2_grpc,
    types_pb2,
    unet_pb2,
    unet_pb2_grpc,
    vae_pb2,
    vae_pb2_grpc,
)
from local.demo import source_picture
from local.supervision import LocalMesh
from mesh.channels import Retries, call, open_channel
from mesh.pictures import Pixels, decode

STEPS = 50


async def test_an_inverted_picture_comes_back_and_changes_under_other_words(mesh: LocalMesh) -> None:
    async with open_channel(mesh.settings.mesh_address) as channel:
        preprocess: Any = preprocess_pb2_grpc.PreprocessServiceStub(channel)
        unet: Any = unet_pb2_grpc.UnetServiceStub(channel)
        vae: Any = vae_pb2_grpc.VaeServiceStub(channel)

        async def words(prompt: str) -> types_pb2.Conditioning:
            request = preprocess_pb2.PrepareRequest(model="demo", prompt=prompt, width=128, height=128)
            return (await call(preprocess.Prepare(request, timeout=30))).conditioning

        async def latents(prompt: str, scheduler: str, **start: Any) -> types_pb2.Latents:
            request = unet_pb2.DenoiseRequest(
                conditioning=await words(prompt), scheduler=scheduler, steps=STEPS, guidance_scale=1, **start
            )
            *_, last = [message async for message in Retries().stream(lambda: unet.Denoise(request, timeout=60))]
            return last.latents

        async def picture(found: types_pb2.Latents) -> Pixels:
            answer = await call(vae.Decode(vae_pb2.DecodeRequest(latents=found), timeout=30))
            return decode(answer.images[0].content)

        image = types_pb2.Image(content=source_picture())
        encoding = vae_pb2.EncodeRequest(model="demo", image=image, width=128, height=128)
        posterior = (await call(vae.Encode(encoding, timeout=30))).posterior
        source = await picture(types_pb2.Latents(model="demo", samples=posterior.mean))
        as_it_is = "a yellow star on a purple background"
        noise = await latents(as_it_is, "DDIMInverseScheduler", initial=posterior)
        again = await picture(await latents(as_it_is, "DDIMScheduler", noise=noise))
        other = await picture(await latents("a red star on a purple background", "DDIMScheduler", noise=noise))
        unrelated = await picture(await latents(as_it_is, "DDIMScheduler", seed=1))
    # The way back is not exact: each step takes the noise of its neighbour for its own.
    assert _apart(again, source) < 0.3 * _apart(unrelated, source)
    # Other words change the colour of the star, and leave the ground as it was.
    assert _apart(other[:12], source[:12]) < 0.3 * _apart(unrelated, source)
    assert other[64, 64, 1] < source[64, 64, 1] - 60


def _apart(one: Pixels, other: Pixels) -> float:
    """Mean absolute difference in 255ths."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())
