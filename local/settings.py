"""Addresses and folders of the whole mesh on one machine."""

import dataclasses
import socket
from dataclasses import dataclass
from typing import Any

from mesh.settings import setting


@dataclass(frozen=True)
class LocalSettings:
    """What `python -m local` takes. Every address is host:port; services get theirs from here."""

    PREFIX = "CN_"

    edge_address: str = setting("127.0.0.1:8080", "host:port that clients use: Envoy's edge.")
    mesh_address: str = setting("127.0.0.1:8090", "host:port of Envoy's listener between the services.")
    envoy_metrics_address: str = setting("127.0.0.1:9902", "host:port of Envoy's /ready and /stats/prometheus.")
    envoy_admin_address: str = setting("127.0.0.1:9901", "host:port of Envoy's admin interface.")
    gateway_address: str = setting("127.0.0.1:8081", "host:port of the gateway behind Envoy.")
    gateway_grpc_address: str = setting("127.0.0.1:50050", "host:port of the gateway's gRPC face.")
    gateway_metrics_address: str = setting("", "host:port of a second /metrics for the gateway's gRPC face.")
    preprocess_address: str = setting("127.0.0.1:50051", "host:port of preprocess_svc.")
    preprocess_metrics_address: str = setting("127.0.0.1:9091", "host:port of preprocess_svc's /metrics.")
    unet_address: str = setting("127.0.0.1:50052", "host:port of unet_svc.")
    unet_metrics_address: str = setting("127.0.0.1:9092", "host:port of unet_svc's /metrics.")
    vae_address: str = setting("127.0.0.1:50053", "host:port of vae_svc.")
    vae_metrics_address: str = setting("127.0.0.1:9093", "host:port of vae_svc's /metrics.")
    triton_port: int = setting(8001, "Port of Triton's gRPC service; loopback only.")
    triton_metrics_port: int = setting(8002, "Port of Triton's own /metrics; loopback only.")
    model_server_admin_port: int = setting(8003, "Port of the model server's /readyz and /metrics; loopback only.")
    model_repository: str = setting("model_repository", "Folder with the exported models.")
    run_folder: str = setting("run", "Folder for logs, sockets and generated configuration.")

    def with_free_ports(self) -> "LocalSettings":
        """The same mesh on ports that are free now, so that many can run beside each other."""
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
