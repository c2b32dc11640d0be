"""`python -m preprocess_svc`: serve until SIGTERM or SIGINT."""

import asyncio
import os
import sys
from pathlib import Path

import cv2

from controlmesh.v1 import preprocess_pb2_grpc
from families.annotators import list_annotators
from families.manifest import list_manifests
from mesh.admission import Admission
from mesh.command import settings_of
from mesh.decoders import Decoders
from mesh.server import serve
from mesh.telemetry import configure
from mesh.triton import Triton
from preprocess_svc.annotators import Annotators
from preprocess_svc.servicer import PreprocessServicer
from preprocess_svc.settings import PreprocessSettings
from preprocess_svc.styles import load_styles


async def main(settings: PreprocessSettings) -> None:
    """Create the service from its settings and serve."""
    configure("preprocess_svc", settings)
    # Requests run in parallel; OpenCV's own threads would multiply them.
    cv2.setNumThreads(1)
    triton = Triton(settings.triton_url)
    repository = Path(settings.model_repository)
    admission = Admission(settings.running, settings.waiting, "requests in preparation")
    annotators = Annotators(list_annotators(repository), triton)
    decoders = Decoders(settings, ("preprocess_svc.fitting", "preprocess_svc.extraction.ready"))
    servicer = PreprocessServicer(
        list_manifests(repository), repository, triton, admission, load_styles(), annotators, decoders
    )
    services = {
        "controlmesh.v1.PreprocessService": lambda server: preprocess_pb2_grpc.add_PreprocessServiceServicer_to_server(
            servicer, server
        )
    }
    try:
        await decoders.start()
        await serve(settings, services, servicer.probe, backend=triton)
    finally:
        await decoders.close()
        await triton.close()


if __name__ == "__main__":
    asyncio.run(main(settings_of(PreprocessSettings, __doc__, sys.argv[1:], os.environ)))
