"""`python -m unet_svc`: serve until SIGTERM or SIGINT."""

import asyncio
import os
import sys
from pathlib import Path

import torch

from controlmesh.v1 import unet_pb2_grpc
from families.manifest import list_manifests
from families.protocols import repository_metadata
from mesh.admission import Admission
from mesh.command import settings_of
from mesh.server import serve
from mesh.telemetry import configure
from mesh.triton import Triton
from unet_svc.denoiser import Denoiser
from unet_svc.servicer import UnetServicer
from unet_svc.settings import UnetSettings
from unet_svc.turns import Turns


async def main(settings: UnetSettings) -> None:
    """Create the service from its settings and serve."""
    configure("unet_svc", settings)
    # Scheduler arithmetic is small; more threads would only compete with the model server for cores.
    torch.set_num_threads(1)
    triton = Triton(
        settings.triton_url,
        shared_memory=settings.shared_memory,
        timeout_s=settings.step_timeout_s,
        repository=repository_metadata(settings.repository_key),
    )
    repository = Path(settings.model_repository)
    admission = Admission(settings.running, settings.waiting, "denoising loops")
    denoiser = Denoiser(triton, Turns(settings.steps_an_owner))
    servicer = UnetServicer(list_manifests(repository), denoiser, admission, repository)
    services = {
        "controlmesh.v1.UnetService": lambda server: unet_pb2_grpc.add_UnetServiceServicer_to_server(servicer, server)
    }
    try:
        await serve(settings, services, servicer.probe, backend=triton)
    finally:
        await triton.close()


if __name__ == "__main__":
    asyncio.run(main(settings_of(UnetSettings, __doc__, sys.argv[1:], os.environ)))
