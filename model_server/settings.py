"""Settings of the model server."""

from dataclasses import dataclass

from mesh.settings import Common, setting


@dataclass(frozen=True)
class ModelServerSettings(Common):
    """Which Triton to start, with which models, on which ports. Every port is bound on `host` only."""

    PREFIX = "CN_MODEL_SERVER_"

    environment: str = setting(
        ".venv-triton", "Folder of the virtual environment that holds nvidia-pytriton and onnxruntime."
    )
    repository: str = setting("model_repository", "Folder of the graphs, one sub-folder each.")
    models: tuple[str, ...] = setting(
        (),
        "Graphs and ensembles to load, separated by commas; unset: those of every model card in the repository.",
    )
    host: str = setting("127.0.0.1", "Address on which every port is bound; whoever can reach gRPC can load code.")
    grpc_port: int = setting(8001, "Port of Triton's gRPC service (KServe v2).")
    metrics_port: int = setting(8002, "Port of Triton's own Prometheus metrics; 0: none.")
    admin_port: int = setting(8003, "Port of /healthz, /readyz and /metrics of this process.")
    repository_key: str = setting(
        "",
        "Key that callers of Triton need to load models and register memory; `make up` makes one; unset: none.",
        env="CN_TRITON_REPOSITORY_KEY",
    )
    threads: int = setting(
        0, "Threads inside one operator for graphs whose configuration does not set them; 0: every core."
    )
    start_timeout_s: float = setting(
        180.0, "Seconds from the start until every model must answer; after that the start has failed."
    )
    stop_timeout_s: float = setting(10.0, "Seconds that inferences in flight have to finish at shutdown.")
    canary_interval_s: float = setting(5.0, "Seconds between canary inferences of each model.")
    canary_timeout_s: float = setting(10.0, "Timeout of one canary inference on an idle server, seconds.")
    canary_misses: int = setting(3, "Consecutive misses after which this process exits, so that it is restarted.")
    stall_s: float = setting(120.0, "Seconds without a finished execution after which a busy model counts as hanging.")
    shm_growth_mib: int = setting(1, "Step by which a model process enlarges its shared memory for tensors, MiB.")
