"""Addresses and folders of the whole mesh on one machine."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.settings import GatewaySettings, split_address
from local.free_ports import free_ports
from mesh.settings import SettingsError, setting, variable
from model_server.settings import ModelServerSettings
from preprocess_svc.settings import PreprocessSettings
from unet_svc.settings import UnetSettings
from vae_svc.settings import VaeSettings


@dataclass(frozen=True)
class LocalSettings:
    """Settings of `python -m local`; the defaults are those of the services. Every address is host:port."""

    PREFIX = "CN_"

    port: int | None = setting(
        None, "Port of the edge; all other ports move with it, except those whose own variable is set.", env="PORT"
    )
    edge_address: str = setting(GatewaySettings.public_address, "host:port that clients use: Envoy's edge.")
    internal_address: str = setting("127.0.0.1:8091", "host:port of the gRPC API: Envoy's listener for its callers.")
    mesh_address: str = setting(GatewaySettings.mesh_address, "host:port of Envoy's listener between the services.")
    envoy_metrics_address: str = setting("127.0.0.1:9902", "host:port of Envoy's /ready and /stats/prometheus.")
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

    def shifted(self, environ: Mapping[str, str]) -> "LocalSettings":
        """The same settings with the ports moved by as much as `port` is from the edge's default one.

        Args:
            environ: has the variables; an address whose own variable is set stays.

        Raises:
            SettingsError: a port would be none that a user may listen on.
        """
        if self.port is None:
            return self
        by = self.port - split_address(GatewaySettings.public_address)[1]
        moved: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value, name = getattr(self, field.name), variable(LocalSettings, field)
            if name in environ or f"{name}_FILE" in environ or not value:
                continue
            if field.name.endswith("_port"):
                moved[field.name] = _moved(self.port, name, value, by)
            elif field.name.endswith("_address"):
                host, port = split_address(value)
                moved[field.name] = f"{host}:{_moved(self.port, name, port, by)}"
        return dataclasses.replace(self, **moved)

    def with_free_ports(self) -> "LocalSettings":
        """The same settings with ports that nobody else has, so that several meshes can run at the same time."""
        names = [f.name for f in dataclasses.fields(self) if f.name.endswith(("_address", "_port"))]
        free: dict[str, Any] = {
            name: port if name.endswith("_port") else f"127.0.0.1:{port}"
            for name, port in zip(names, free_ports(len(names)), strict=True)
        }
        return dataclasses.replace(self, **{**free, "gateway_metrics_address": ""})


def _moved(edge: int, name: str, port: int, by: int) -> int:
    if not 1024 <= port + by <= 65535:
        raise SettingsError(
            f"PORT={edge} moves {name} to port {port + by}; choose one that leaves every port within 1024 and 65535, "
            f"or set {name}"
        )
    return port + by
