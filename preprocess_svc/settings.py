"""The settings of preprocess_svc, read from its environment."""

from dataclasses import dataclass

from mesh.decoders import DecoderSettings
from mesh.settings import setting


@dataclass(frozen=True)
class PreprocessSettings(DecoderSettings):
    """Settings of preprocess_svc."""

    PREFIX = "CN_PREPROCESS_"

    address: str = setting("127.0.0.1:50051", "host:port of preprocess_svc's gRPC server.")
    metrics_address: str = setting("127.0.0.1:9091", "host:port of preprocess_svc's /metrics; empty: none.")
    triton_url: str = setting("127.0.0.1:8001", "host:port of Triton's gRPC service, as preprocess_svc sees it.")
    model_repository: str = setting("model_repository", "Folder with the models' cards, as preprocess_svc sees it.")
    running: int = setting(8, "Requests prepared concurrently.")
    waiting: int = setting(128, "Requests that may wait; beyond this callers get RESOURCE_EXHAUSTED.")
