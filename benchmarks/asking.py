"""The requests that the benchmarks send: one canny-controlled picture through the edge, or one loop to unet_svc."""

import asyncio
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controlmesh.v1 import preprocess_pb2, preprocess_pb2_grpc, types_pb2, unet_pb2, unet_pb2_grpc
from controlmesh_client import AsyncClient, Control
from local.supervision import LocalMesh
from mesh.channels import open_channel
from mesh.pictures import Pixels, decode, encode

SIZE = 128
STEPS = 20
GUIDANCE = 3.0
SCHEDULER = "UniPCMultistepScheduler"
PROMPT = "a red star on a white to blue gradient background"
SETTINGS: dict[str, Any] = {
    "model": "demo",
    "width": SIZE,
    "height": SIZE,
    "steps": STEPS,
    "guidance_scale": GUIDANCE,
    "scheduler": SCHEDULER,
}


async def pictures(mesh: LocalMesh, hints: list[tuple[str, Pixels]], concurrency: int) -> list[Pixels]:
    """Generate one picture per (kind, ready hint), seeds from 0, at most `concurrency` at once, through the edge."""
    places = asyncio.Semaphore(concurrency)

    async def one(client: AsyncClient, seed: int, kind: str, hint: Pixels) -> Pixels:
        control = Control(kind, encode(hint), auto_hint=False)
        async with places:
            made = await client.generate(PROMPT, [control], seed=seed, timeout_s=120, **SETTINGS)
        return decode(made[0].bytes)

    async with AsyncClient(mesh.url) as client:
        return await asyncio.gather(*(one(client, seed, kind, hint) for seed, (kind, hint) in enumerate(hints)))


async def loop_seconds(mesh: LocalMesh, model: str, hint: NDArray[np.uint8], concurrency: int) -> list[float]:
    """Seconds of each step of `concurrency` concurrent denoising loops, from the progress stream of unet_svc."""
    async with (
        open_channel(mesh.settings.preprocess_address) as words,
        open_channel(mesh.settings.unet_address) as channel,
    ):
        control = types_pb2.Control(kind="canny", image=types_pb2.Image(content=encode(hint)), weight=1, end=1)
        preprocess: Any = preprocess_pb2_grpc.PreprocessServiceStub(words)
        prepared = await preprocess.Prepare(
            preprocess_pb2.PrepareRequest(
                model=model, prompt=PROMPT, guidance=True, controls=[control], width=SIZE, height=SIZE
            )
        )
        unet: Any = unet_pb2_grpc.UnetServiceStub(channel)

        async def one(seed: int) -> list[float]:
            request = unet_pb2.DenoiseRequest(
                conditioning=prepared.conditioning,
                scheduler="DDIMScheduler",
                steps=STEPS,
                guidance_scale=GUIDANCE,
                seed=seed,
            )
            times = [time.perf_counter() async for message in unet.Denoise(request) if message.HasField("progress")]
            return list(np.diff(times))

        return [seconds for loop in await asyncio.gather(*map(one, range(concurrency))) for seconds in loop]
