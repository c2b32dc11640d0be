"""How a model runs: batch limits, queues and runtimes, as tables.

A batch limit is measured for a model at its native resolution and is not a constant of the program: a graph that is
bandwidth-bound on its own gains from batching; one that already fills the machine only makes everybody wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tritonclient.grpc import model_config_pb2 as triton

from families.facts import ModelFacts
from families.limits import PROMPT_CHUNKS
from families.tensors import Part


@dataclass(frozen=True, slots=True)
class Profile:
    """How the graphs of one (family, native size) run. Keys of the mappings are roles: text_encoder, denoiser, vae."""

    batch: Mapping[str, int]
    """Largest batch, rows."""
    queue_delay_us: Mapping[str, int]
    """How long the dynamic batcher may delay a row to fill a batch, microseconds."""
    queue_size: int
    """Rows that may wait for one graph; Triton refuses the next one with UNAVAILABLE."""
    cpu_threads: Mapping[str, int]
    """Threads inside one operator on a CPU."""


_SMALL = Profile(
    batch={"text_encoder": 16, "denoiser": 8, "vae": 8},
    queue_delay_us={"text_encoder": 0, "denoiser": 0, "vae": 0},
    queue_size=64,
    cpu_threads={"text_encoder": 1, "denoiser": 1, "vae": 1},
)
# A first estimate, not measured at 512 px: there a decoder row takes about 1 GiB of activations.
_LARGE = Profile(
    batch={"text_encoder": 16, "denoiser": 8, "vae": 2},
    queue_delay_us={"text_encoder": 0, "denoiser": 500, "vae": 0},
    queue_size=64,
    cpu_threads={"text_encoder": 2, "denoiser": 4, "vae": 4},
)

# An estimate as well: of a picture of 1024 px two rows fill a large GPU, and a CPU with one.
_HUGE = Profile(
    batch={"text_encoder": 8, "denoiser": 2, "vae": 1},
    queue_delay_us={"text_encoder": 0, "denoiser": 500, "vae": 0},
    queue_size=64,
    cpu_threads={"text_encoder": 2, "denoiser": 4, "vae": 4},
)

# (family, largest native size in pixels that the row is for, profile); the first row that fits is used.
PROFILES: tuple[tuple[str, int, Profile], ...] = (
    ("sd15", 256, _SMALL),
    ("sd15", 1024, _LARGE),
    ("sdxl", 256, _SMALL),
    ("sdxl", 2048, _HUGE),
    ("flux", 256, _SMALL),
    ("flux", 2048, _HUGE),
)


def profile_of(facts: ModelFacts) -> Profile:
    """The profile of a model. Raises ValueError if there is none for its family and size."""
    for family, largest, profile in PROFILES:
        if family == facts.family and facts.native_size <= largest:
            return profile
    raise ValueError(f"no profile for family {facts.family!r} at {facts.native_size} px; add a row to PROFILES")


SHRINK_OVER = "shrink_arena_over"
"""The parameter of a graph's configuration that is `native_elements`; our backend reads it."""


def native_elements(row: Part, facts: ModelFacts) -> int:
    """Numbers in all inputs of one request at the model's native size with a prompt of the greatest length.

    A graph that gets more than these gives the memory that it took back to the system.
    """
    side = facts.native_size // facts.downscale
    sizes = facts.dimensions(height=side, width=side, rows=2, chunks=PROMPT_CHUNKS)
    return sum(math.prod(tensor.sized(sizes)) for tensor in row.inputs)


@dataclass(frozen=True, slots=True)
class Runtime:
    """The kind of machine for which a `config.pbtxt` is written."""

    target: str
    instance_kind: str
    apply: Callable[[triton.ModelConfig, str, Profile], None]
    """Sets the parameters and accelerators of a graph of this role."""
    shrinks: bool
    """Whether graphs give memory back after pictures larger than the native size."""


def _on_cpu(config: triton.ModelConfig, role: str, profile: Profile) -> None:
    config.parameters["intra_op_thread_count"].string_value = str(profile.cpu_threads[role])
    config.parameters["inter_op_thread_count"].string_value = "1"


def _on_gpu(config: triton.ModelConfig, role: str, profile: Profile) -> None:
    # Keys of the `tensorrt` accelerator as Triton's ONNX Runtime backend documents them. The precision stays FP32,
    # because pictures must equal those of diffusers; half precision would give that up.
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    accelerator.parameters["precision_mode"] = "FP32"
    accelerator.parameters["max_workspace_size_bytes"] = str(4 << 30)
    accelerator.parameters["trt_engine_cache_enable"] = "1"


CPU = Runtime("cpu", "KIND_CPU", _on_cpu, shrinks=True)
GPU = Runtime("gpu", "KIND_GPU", _on_gpu, shrinks=False)
RUNTIMES: Mapping[str, Runtime] = {runtime.target: runtime for runtime in (CPU, GPU)}
