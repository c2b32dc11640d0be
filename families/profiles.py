"""How a model is run: batch caps, queues and runtimes, as tables.

A batch cap is a measured fact of a model at its native resolution, not a constant of the program: a graph that is
bandwidth-bound alone gains from batching, one that already fills the machine only makes everybody wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tritonclient.grpc import model_config_pb2 as triton

from families.manifest import ModelFacts


@dataclass(frozen=True, slots=True)
class Profile:
    """Facts of one (family, native size). Keys of the mappings are roles: text_encoder, denoiser, vae."""

    batch: Mapping[str, int]
    """Largest batch, rows."""
    queue_delay_us: Mapping[str, int]
    """How long the dynamic batcher may hold a row back for company, microseconds."""
    queue_size: int
    """Rows that may wait for one graph; the next one is refused with UNAVAILABLE."""
    cpu_threads: Mapping[str, int]
    """Threads inside one operator on a CPU."""


_SMALL = Profile(
    batch={"text_encoder": 16, "denoiser": 8, "vae": 8},
    queue_delay_us={"text_encoder": 0, "denoiser": 0, "vae": 0},
    queue_size=64,
    cpu_threads={"text_encoder": 1, "denoiser": 1, "vae": 1},
)
# A first setting, not measured at 512 px: there a decoder row holds about 1 GiB of activations.
_LARGE = Profile(
    batch={"text_encoder": 16, "denoiser": 8, "vae": 2},
    queue_delay_us={"text_encoder": 0, "denoiser": 500, "vae": 0},
    queue_size=64,
    cpu_threads={"text_encoder": 2, "denoiser": 4, "vae": 4},
)

# (family, largest native size in pixels that the row holds for, profile); the first row that fits counts.
PROFILES: tuple[tuple[str, int, Profile], ...] = (
    ("sd15", 256, _SMALL),
    ("sd15", 1024, _LARGE),
)


def profile_of(facts: ModelFacts) -> Profile:
    """The row that fits. Raises ValueError if the family or size has none."""
    for family, largest, profile in PROFILES:
        if family == facts.family and facts.native_size <= largest:
            return profile
    raise ValueError(f"no profile for family {facts.family!r} at {facts.native_size} px; add a row to PROFILES")


@dataclass(frozen=True, slots=True)
class Runtime:
    """The machine that a `config.pbtxt` is written for."""

    target: str
    instance_kind: str
    apply: Callable[[triton.ModelConfig, str, Profile], None]
    """Writes the parameters and accelerators for a graph of this role."""


def _on_cpu(config: triton.ModelConfig, role: str, profile: Profile) -> None:
    config.parameters["intra_op_thread_count"].string_value = str(profile.cpu_threads[role])
    config.parameters["inter_op_thread_count"].string_value = "1"


def _on_gpu(config: triton.ModelConfig, role: str, profile: Profile) -> None:
    # Keys of the `tensorrt` accelerator as Triton's ONNX Runtime backend documents them. FP32 stays the precision:
    # the picture must equal diffusers' own; half precision is a choice for whoever may give that up.
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    accelerator.parameters["precision_mode"] = "FP32"
    accelerator.parameters["max_workspace_size_bytes"] = str(4 << 30)
    accelerator.parameters["trt_engine_cache_enable"] = "1"


CPU = Runtime("cpu", "KIND_CPU", _on_cpu)
GPU = Runtime("gpu", "KIND_GPU", _on_gpu)
RUNTIMES: Mapping[str, Runtime] = {runtime.target: runtime for runtime in (CPU, GPU)}
