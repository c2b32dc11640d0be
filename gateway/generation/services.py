"""Client of the three services: stubs on one channel to the mesh's internal Envoy listener."""

import asyncio

from grpc_health.v1 import health_pb2, health_pb2_grpc

from controlmesh.v1 import preprocess_pb2_grpc, unet_pb2_grpc, vae_pb2_grpc
from mesh.channels import Retries, call, open_channel
from mesh.errors import MeshError, Unavailable

# gRPC's health check has the service's name in its body, which proxies don't read; this header tells Envoy the service.
SERVICE_METADATA = "x-controlmesh-service"

SERVICES = (
    "controlmesh.v1.PreprocessService",
    "controlmesh.v1.UnetService",
    "controlmesh.v1.VaeService",
)


class Services:
    """Stubs of the three services.

    Args:
        address: host:port of the listener that routes to all of them.

    Attributes:
        preprocess, unet, vae: the stubs.
        retries: of calls that no service has seen.
    """

    def __init__(self, address: str) -> None:
        self.retries = Retries()
        self._channel = open_channel(address)
        self.preprocess = preprocess_pb2_grpc.PreprocessServiceStub(self._channel)
        self.unet = unet_pb2_grpc.UnetServiceStub(self._channel)
        self.vae = vae_pb2_grpc.VaeServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    async def close(self) -> None:
        """Close the channel; calls in flight are cancelled."""
        await self._channel.close()

    async def missing(self, timeout_s: float = 2.0) -> list[str]:
        """Names of the services that are not serving at the moment; empty if a generation can be made."""
        serving = await asyncio.gather(*(self._serves(service, timeout_s) for service in SERVICES))
        return [service for service, good in zip(SERVICES, serving, strict=True) if not good]

    async def probe(self) -> None:
        """Check that every service is serving.

        Raises:
            Unavailable: naming those that are not.
        """
        if missing := await self.missing():
            raise Unavailable(f"not serving: {', '.join(missing)}; try again in a few seconds", retry_after_s=2)

    async def _serves(self, service: str, timeout_s: float) -> bool:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = await call(self._health.Check(request, timeout=timeout_s, metadata=((SERVICE_METADATA, service),)))
        except MeshError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
