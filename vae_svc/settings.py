"""The settings of vae_svc, read from its environment."""

from dataclasses import dataclass

from mesh.decoders import DecoderSettings
from mesh.settings import setting


@dataclass(frozen=True)
class VaeSettings(DecoderSettings):
    """Settings of vae_svc."""

    PREFIX = "CN_VAE_"

    address: str = setting("127.0.0.1:50053", "host:port of vae_svc's gRPC server.")
    metrics_address: str = setting("127.0.0.1:9093", "host:port of vae_svc's /metrics; empty: none.")
    triton_url: str = setting("127.0.0.1:8001", "host:port of Triton's gRPC service, as vae_svc sees it.")
    model_repository: str = setting("model_repository", "Folder with the models' cards, as vae_svc sees it.")
    running: int = setting(8, "Concurrent requests.")
    waiting: int = setting(128, "Requests that may wait; beyond this callers get RESOURCE_EXHAUSTED.")
