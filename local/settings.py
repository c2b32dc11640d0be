"""Addresses and folders of the whole mesh on one machine."""

import dataclasses
import socket
from dataclasses import dataclass
from typing import Any

from gateway.settings import GatewaySettings
from mesh.settings import setting
from model_server.settings import ModelServerSettings
from preprocess_svc.settings import PreprocessSettings
from unet_svc.settings import UnetSettings
from vae_svc.settings import VaeSettings


@dataclass(frozen=True)
class LocalSettings:
    """Settings of `python -m local`; the defaults are those of the services. Every address is host:port."""

    PREFIX = "CN_"

    edge_address: str = setting(GatewaySettings.public_address, "host:port that clients use: Envoy's edge.")
    mesh_address: str = setting(GatewaySettings.mesh_address, "host:port of Envoy's listener between the services.")
    envoy_metrics_address: str = setting("127.0.0.1:9902", "host:port of Envoy's /ready and /stats/prometheus.")
    envoy_admin_address: str = setting("127.0.0.1:9901", "host:port of Envoy's admin interface.")
    gateway_address: str = setting(GatewaySettings.address, "host:port of the gateway behind Envoy.")
    gateway_grpc_address: str = setting(GatewaySettings.grpc_address, "host:port of the gateway's gRPC API.")
    gateway_metrics_address: str = setting(
        GatewaySettings.metrics_address, "host:port of the gateway's second /metrics."
    )
    preprocess_address: str = setting(PreprocessSettings.address, "host:port of preprocess_svc.")
    preprocess_metrics_address: str = setting(PreprocessSettings.metrics_address, "host:port of its /metrics.")
    unet_address: str = setting(UnetSettings.address, "host:port of unet_svc.")
    unet_metrics_address: str = setting(UnetSettings.metrics_address, "host:port of its /metrics.")
    vae_address: str = setting(VaeSettings.address, "host:port of vae_svc.")
    vae_metrics_address: str = setting(VaeSettings.metrics_address, "host:port of its /metrics.")
    triton_port: int = setting(ModelServerSettings.grpc_port, "Port of Triton's gRPC service; loopback only.")
    triton_metrics_port: int = setting(ModelServerSettings.metrics_port, "Port of Triton's /metrics; loopback only.")
    model_server_admin_port: int = setting(ModelServerSettings.admin_port, "Port of its /readyz and /metrics.")
    model_repository: str = setting(ModelServerSettings.repository, "Folder with the exported models.")
    run_folder: str = setting("run", "Folder for logs, sockets and generated configuration.")

    def with_free_ports(self) -> "LocalSettings":
        """The same settings with ports that are free now, so that several meshes can run at the same time."""
        names = [f.name for f in dataclasses.fields(self) if f.name.endswith(("_address", "_port"))]
        sockets = [socket.socket() for _ in names]
        try:
            for held in sockets:
                held.bind(("127.0.0.1", 0))
            ports = [held.getsockname()[1] for held in sockets]
        finally:
            for held in sockets:
                held.close()
        free: dict[str, Any] = {
            name: port if name.endswith("_port") else f"127.0.0.1:{port}"
            for name, port in zip(names, ports, strict=True)
        }
        return dataclasses.replace(self, **{**free, "gateway_metrics_address": ""})
