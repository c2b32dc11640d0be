"""The settings of unet_svc, read from its environment."""

from dataclasses import dataclass

from mesh.server import ServerSettings
from mesh.settings import setting


@dataclass(frozen=True)
class UnetSettings(ServerSettings):
    """Settings of unet_svc."""

    PREFIX = "CN_UNET_"

    address: str = setting("127.0.0.1:50052", "host:port of unet_svc's gRPC server.")
    metrics_address: str = setting("127.0.0.1:9092", "host:port of unet_svc's /metrics; empty: none.")
    triton_url: str = setting("127.0.0.1:8001", "host:port of Triton's gRPC service, as unet_svc sees it.")
    repository_key: str = setting(
        "", "Key that Triton asks for to load models and register memory; unset: none.", env="CN_TRITON_REPOSITORY_KEY"
    )
    shared_memory: bool = setting(False, "Whether unet_svc and Triton share /dev/shm (same machine or pod).")
    model_repository: str = setting("model_repository", "Folder with the models' cards, as unet_svc sees it.")
    running: int = setting(64, "Concurrent denoising loops; Triton batches their steps.")
    waiting: int = setting(64, "Loops that may wait; beyond this callers get RESOURCE_EXHAUSTED.")
    steps_an_owner: int = setting(
        1,
        "Steps at the model server at once, for each owner whose pictures are made, where there are several. More make "
        "larger batches, and share the processor less evenly; raise it where a batch takes little longer than a step.",
    )
    step_timeout_s: float = setting(60.0, "Seconds that one model call may take.")
