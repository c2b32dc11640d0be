"""Load a graph to run it: with ONNX Runtime, or with OpenVINO if the configuration asks for it.

Each model instance is a separate process, so a session is never shared and needs no lock.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from graph_options import GraphOptions
from numpy.typing import NDArray
from signature import Tensor, positions

Array = NDArray[np.generic]

# (Triton's name, ONNX Runtime's, OpenVINO's)
_TYPES = (
    ("TYPE_BOOL", "tensor(bool)", "boolean"),
    ("TYPE_UINT8", "tensor(uint8)", "u8"),
    ("TYPE_INT8", "tensor(int8)", "i8"),
    ("TYPE_INT32", "tensor(int32)", "i32"),
    ("TYPE_INT64", "tensor(int64)", "i64"),
    ("TYPE_FP16", "tensor(float16)", "f16"),
    ("TYPE_FP32", "tensor(float)", "f32"),
    ("TYPE_FP64", "tensor(double)", "f64"),
)
_OF_ORT = {ort: triton for triton, ort, _ in _TYPES}
_OF_OPENVINO = {openvino: triton for triton, _, openvino in _TYPES}


class GraphError(Exception):
    """A graph that is missing, broken or failed to run. Its message contains no path of this machine."""


class Session(Protocol):
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def run(self, names: Sequence[str], feeds: Mapping[str, Array], shrink: bool = False) -> list[Array]:
        """Run the graph; outputs in the order of `names`, valid until the next run. Raises GraphError.

        `shrink` returns the memory that the run took to the system, if the runtime keeps any.
        """


def open_session(path: Path, options: GraphOptions) -> Session:
    """Load the graph at `path`. Raises GraphError if it is missing or broken."""
    if not path.is_file():
        raise GraphError(
            f"{path.parent.parent.name}/{path.parent.name}/{path.name} is missing: "
            "export the model again (python -m export)"
        )
    opened: type[_OnnxRuntime] | type[_OpenVino] = _OpenVino if options.openvino else _OnnxRuntime
    try:
        return opened(path, options)
    except Exception as error:
        raise GraphError(
            f"{path.parent.parent.name}/{path.parent.name}/{path.name} can't be loaded; "
            f"export the model again (python -m export): {_without_paths(error, path)}"
        ) from error


class _OnnxRuntime:
    def __init__(self, path: Path, options: GraphOptions) -> None:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.intra_op_threads
        settings.inter_op_num_threads = options.inter_op_threads
        settings.enable_cpu_mem_arena = options.memory_arena
        settings.log_severity_level = 3
        # Waiting threads sleep: several graphs share the cores, and spinning would take them from each other.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
        self._shrinking = None
        if options.memory_arena:
            self._shrinking = onnxruntime.RunOptions()
            self._shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        self._path = path
        self.inputs = tuple(_from_ort(arg) for arg in self._session.get_inputs())
        self.outputs = tuple(_from_ort(arg) for arg in self._session.get_outputs())

    def run(self, names: Sequence[str], feeds: Mapping[str, Array], shrink: bool = False) -> list[Array]:
        try:
            return self._session.run(names, feeds, self._shrinking if shrink else None)  # type: ignore[no-any-return]
        except Exception as error:
            raise GraphError(f"ONNX Runtime could not run the graph: {_without_paths(error, self._path)}") from error


class _OpenVino:
    def __init__(self, path: Path, options: GraphOptions) -> None:
        import openvino

        core = openvino.Core()
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": options.precision,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        if options.intra_op_threads:
            settings["INFERENCE_NUM_THREADS"] = options.intra_op_threads
        graph = core.read_model(path)
        # Compiling folds operators into inputs and outputs, which then have the operators' names, too.
        named_in, named_out = ([port.get_any_name() for port in ports] for ports in (graph.inputs, graph.outputs))
        compiled = core.compile_model(graph, "CPU", settings)
        self._request = compiled.create_infer_request()
        self._path = path
        self._inputs = positions(named_in, [port.get_names() for port in compiled.inputs])
        self._outputs = positions(named_out, [port.get_names() for port in compiled.outputs])
        self.inputs = tuple(_from_openvino(name, compiled.inputs[at]) for name, at in self._inputs.items())
        self.outputs = tuple(_from_openvino(name, compiled.outputs[at]) for name, at in self._outputs.items())

    def run(self, names: Sequence[str], feeds: Mapping[str, Array], shrink: bool = False) -> list[Array]:
        try:
            placed = {self._inputs[name]: array for name, array in feeds.items()}
            results = self._request.infer(placed, share_inputs=True, share_outputs=True)
        except Exception as error:
            raise GraphError(f"OpenVINO could not run the graph: {_without_paths(error, self._path)}") from error
        return [results[self._outputs[name]] for name in names]


def _from_ort(arg: Any) -> Tensor:
    dims = tuple(size if isinstance(size, int) else -1 for size in arg.shape)
    return Tensor(arg.name, _OF_ORT.get(arg.type, arg.type), dims)


def _from_openvino(name: str, port: Any) -> Tensor:
    shape = port.get_partial_shape()
    dims = tuple(size.get_length() if size.is_static else -1 for size in shape)
    dtype = port.get_element_type().get_type_name()
    return Tensor(name, _OF_OPENVINO.get(dtype, dtype), dims)


def _without_paths(error: Exception, path: Path) -> str:
    """The runtime's message without the graph's folder, because it may reach a client."""
    text = " ".join(str(error).split())
    return text.replace(str(path), path.name).replace(str(path.parent), path.parent.name)[:500]
