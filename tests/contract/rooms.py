"""The three services in small: a real gRPC server whose answers are tiny, exact and observable."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from controlmesh.v1 import (
    preprocess_pb2,
    preprocess_pb2_grpc,
    types_pb2,
    unet_pb2,
    unet_pb2_grpc,
    vae_pb2,
    vae_pb2_grpc,
)
from gateway.rooms import SERVICES
from mesh.channels import MESSAGE_OPTIONS
from mesh.errors import MeshError
from mesh.interceptors import Edge
from mesh.pictures import check, encode
from mesh.tensors import to_array, to_message

KINDS = {"canny": True, "depth": False}
SCHEDULERS = ("DDIMScheduler", "EulerDiscreteScheduler", "UniPCMultistepScheduler")
FORMATS = {0: "PNG", 1: "PNG", 2: "JPEG", 3: "WEBP"}


@dataclass
class Seen:
    """What reached the rooms."""

    prepared: list[preprocess_pb2.PrepareRequest] = field(default_factory=list)
    denoised: list[unet_pb2.DenoiseRequest] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    metadata: list[dict[str, str]] = field(default_factory=list)


class FakeRooms(
    preprocess_pb2_grpc.PreprocessServiceServicer, unet_pb2_grpc.UnetServiceServicer, vae_pb2_grpc.VaeServiceServicer
):
    """All three services on one port, as the mesh's Envoy listener shows them.

    Use as an async context manager; `address` is known inside.

    Attributes:
        seen: what reached them.
        pace: set to let the denoising loops go on; a loop waits for it after its first step.
        failure: raised by Denoise after its first step, if set.
    """

    def __init__(self) -> None:
        self.seen = Seen()
        self.pace = asyncio.Event()
        self.pace.set()
        self.failure: MeshError | None = None
        self.address = ""

    async def __aenter__(self) -> "FakeRooms":
        self._server = grpc.aio.server(interceptors=[Edge()], options=MESSAGE_OPTIONS)
        preprocess_pb2_grpc.add_PreprocessServiceServicer_to_server(self, self._server)
        unet_pb2_grpc.add_UnetServiceServicer_to_server(self, self._server)
        vae_pb2_grpc.add_VaeServiceServicer_to_server(self, self._server)
        self.health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        for name in SERVICES:
            await self.health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Go away at once, as a killed process does."""
        await self._server.stop(None)

    async def Prepare(self, request: preprocess_pb2.PrepareRequest, context: Any) -> preprocess_pb2.PrepareResponse:
        self.seen.prepared.append(request)
        self.seen.metadata.append(dict(context.invocation_metadata()))
        sizes = [check(control.image.content)[1:] for control in request.controls]
        width, height = sizes[0] if sizes else (128, 128)
        width, height = request.width or width // 8 * 8, request.height or height // 8 * 8
        rows = 2 if request.guidance else 1
        conditioning = types_pb2.Conditioning(
            model=request.model, text=to_message(np.zeros((rows, 77, 4), np.float32)), width=width, height=height
        )
        notes = ["the prompt was cut"] if len(request.prompt) > 1000 else []
        return preprocess_pb2.PrepareResponse(conditioning=conditioning, notes=notes)

    async def ListControls(self, request: Any, context: Any) -> preprocess_pb2.ListControlsResponse:
        return preprocess_pb2.ListControlsResponse(
            controls=[
                preprocess_pb2.ControlKind(kind=kind, description=f"{kind}.", extractable=extractable, models=["demo"])
                for kind, extractable in KINDS.items()
            ]
        )

    async def Denoise(self, request: unet_pb2.DenoiseRequest, context: Any) -> AsyncIterator[unet_pb2.DenoiseResponse]:
        self.seen.denoised.append(request)
        try:
            for step in range(1, request.steps + 1):
                progress = unet_pb2.DenoiseProgress(step=step, steps=request.steps)
                yield unet_pb2.DenoiseResponse(progress=progress)
                self.seen.started.set()
                if self.failure:
                    raise self.failure
                await self.pace.wait()
        except asyncio.CancelledError:
            self.seen.cancelled.set()
            raise
        asked = request.conditioning
        latents = np.full((1, 4, asked.height // 8, asked.width // 8), request.seed % 251, np.float32)
        yield unet_pb2.DenoiseResponse(latents=types_pb2.Latents(model=asked.model, samples=to_message(latents)))

    async def ListSchedulers(self, request: Any, context: Any) -> unet_pb2.ListSchedulersResponse:
        return unet_pb2.ListSchedulersResponse(
            schedulers=[unet_pb2.Scheduler(name=name, description=f"{name}.") for name in SCHEDULERS]
        )

    async def ListModels(self, request: Any, context: Any) -> unet_pb2.ListModelsResponse:
        return unet_pb2.ListModelsResponse(
            models=[
                unet_pb2.Model(
                    name="demo",
                    family="sd15",
                    native_size=128,
                    controls=sorted(KINDS),
                    prediction_type="v_prediction",
                    default_scheduler="DDIMScheduler",
                    latent_channels=4,
                )
            ]
        )

    async def Decode(self, request: vae_pb2.DecodeRequest, context: Any) -> vae_pb2.DecodeResponse:
        latents = to_array(request.latents.samples, field="latents", ndim=4)
        images = []
        for row in latents:
            height, width = row.shape[1] * 8, row.shape[2] * 8
            pixels = np.full((height, width, 3), int(row[0, 0, 0]), np.uint8)
            format = request.format or types_pb2.IMAGE_FORMAT_PNG
            content = encode(pixels, FORMATS[format])
            images.append(types_pb2.Image(content=content, format=format, width=width, height=height))
        return vae_pb2.DecodeResponse(images=images)
