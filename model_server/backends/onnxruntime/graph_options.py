"""Read from a `config.pbtxt`, as the JSON that Triton hands to a backend, how its graph is run.

The keys are those of Triton's own ONNX Runtime backend, so that one file works for both; it passes over
`shrink_arena_over`, which is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OPENVINO = "openvino"
PRECISIONS = ("f32", "bf16", "f16")


class OptionError(Exception):
    """An invalid value in `config.pbtxt`; the message names the key and the allowed values."""


@dataclass(frozen=True, slots=True)
class GraphOptions:
    """How one graph is run."""

    intra_op_threads: int
    """Threads inside one operator; 0 lets the runtime take every core."""
    inter_op_threads: int
    """Operators that run in parallel."""
    memory_arena: bool
    """Whether the runtime keeps freed memory for the next call instead of returning it to the system."""
    shrink_over: int
    """Numbers in a request's inputs above which freed memory is returned nevertheless; 0: never."""
    openvino: bool
    """Run the graph with OpenVINO instead of ONNX Runtime's own kernels."""
    precision: str
    """OpenVINO's arithmetic: one of PRECISIONS."""


def options_of(config: Mapping[str, Any], defaults: Mapping[str, str] | None = None) -> GraphOptions:
    """Read a model configuration.

    Args:
        config: the ModelConfig message as JSON, which is what a backend's `initialize` receives.
        defaults: values of `parameters` that the configuration does not set.

    Raises:
        OptionError: an invalid number, or an accelerator that this backend does not have.
    """
    given = {name: entry["string_value"] for name, entry in config.get("parameters", {}).items()}
    parameters = {**(defaults or {}), **given}
    accelerators = (config.get("optimization") or {}).get("execution_accelerators") or {}
    on_cpu = {
        entry["name"]: entry.get("parameters") or {} for entry in accelerators.get("cpu_execution_accelerator", [])
    }
    if unknown := sorted(set(on_cpu) - {OPENVINO}):
        raise OptionError(f"cpu_execution_accelerator {unknown[0]!r} is unknown here; use {OPENVINO!r} or none")
    precision = on_cpu.get(OPENVINO, {}).get("precision", PRECISIONS[0]).lower()
    if precision not in PRECISIONS:
        raise OptionError(f"openvino precision {precision!r} is unknown; use one of {', '.join(PRECISIONS)}")
    return GraphOptions(
        intra_op_threads=_count(parameters, "intra_op_thread_count", 0),
        inter_op_threads=_count(parameters, "inter_op_thread_count", 1),
        memory_arena=_count(parameters, "enable_mem_arena", 1) != 0,
        shrink_over=_count(parameters, "shrink_arena_over", 0),
        openvino=OPENVINO in on_cpu,
        precision=precision,
    )


def _count(parameters: Mapping[str, str], key: str, default: int) -> int:
    text = parameters.get(key, str(default))
    if not text.strip().isdecimal():
        raise OptionError(f"parameter {key}={text!r} is not a whole number of 0 or more")
    return int(text)
