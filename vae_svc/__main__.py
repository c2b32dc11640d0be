"""`python -m vae_svc`: serve until SIGTERM or SIGINT."""

import asyncio
import os
import sys
from pathlib import Path

from controlmesh.v1 import vae_pb2_grpc
from families.manifest import list_manifests
from mesh.admission import Admission
from mesh.command import settings_of
from mesh.decoders import Decoders
from mesh.server import serve
from mesh.telemetry import configure
from mesh.triton import Triton
from vae_svc.servicer import VaeServicer
from vae_svc.settings import VaeSettings


async def main(settings: VaeSettings) -> None:
    """Create the service from its settings and serve."""
    configure("vae_svc", settings)
    triton = Triton(settings.triton_url)
    repository = Path(settings.model_repository)
    admission = Admission(settings.running, settings.waiting, "pictures")
    decoders = Decoders(settings)
    servicer = VaeServicer(list_manifests(repository), triton, admission, repository, decoders)
    services = {
        "controlmesh.v1.VaeService": lambda server: vae_pb2_grpc.add_VaeServiceServicer_to_server(servicer, server)
    }
    try:
        await decoders.start()
        await serve(settings, services, servicer.probe, backend=triton)
    finally:
        await decoders.close()
        await triton.close()


if __name__ == "__main__":
    asyncio.run(main(settings_of(VaeSettings, __doc__, sys.argv[1:], os.environ)))
