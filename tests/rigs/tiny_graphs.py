"""A model repository of graphs with a handful of nodes, each made for one thing a server has to do."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
# The same variable chooses the environment of `python -m model_server`, so another Python can be tested.
TRITON_ENVIRONMENT = ROOT / os.environ.get("CN_MODEL_SERVER_ENVIRONMENT", ".venv-triton")

Value = tuple[str, str, tuple[int | str, ...]]
"""Name, Triton's type without TYPE_, dims with the batch dimension; a text is a free size."""

_ONNX = {
    "FP32": TensorProto.FLOAT,
    "FP16": TensorProto.FLOAT16,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "BOOL": TensorProto.BOOL,
}

PLANE: tuple[int | str, ...] = ("batch", 2, "h", "w")


def write_config(
    repository: Path, name: str, inputs: Sequence[Value], outputs: Sequence[Value], extra: str = "", batch: int = 8
) -> None:
    """`config.pbtxt` of a graph; `extra` is appended as it stands."""
    folder = repository / name
    (folder / "1").mkdir(parents=True, exist_ok=True)
    blocks = [
        f'{side} [{{ name: "{tensor}" data_type: TYPE_{kind} dims: [{_dims(dims, batch)}] }}]'
        for side, tensors in (("input", inputs), ("output", outputs))
        for tensor, kind, dims in tensors
    ]
    head = [f'name: "{name}"', f"max_batch_size: {batch}", *blocks]
    if "platform" not in extra:
        head.append('backend: "onnxruntime"\ninstance_group [{ kind: KIND_CPU count: 1 }]')
    (folder / "config.pbtxt").write_text("\n".join([*head, extra]))


def write_graph(
    repository: Path,
    name: str,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    constants: dict[str, np.ndarray] | None = None,
    extra: str = "dynamic_batching { }",
    batch: int = 8,
) -> None:
    """A graph with the configuration that fits it."""
    write_config(repository, name, inputs, outputs, extra, batch)
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(tensor, _ONNX[kind], dims) for tensor, kind, dims in inputs],
        [helper.make_tensor_value_info(tensor, _ONNX[kind], dims) for tensor, kind, dims in outputs],
        [numpy_helper.from_array(value, key) for key, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, repository / name / "1" / "model.onnx")


def write_scaling(repository: Path, name: str, factor: float, extra: str = "dynamic_batching { }") -> None:
    """y = factor * x, FP32 [batch, 2, h, w]."""
    write_graph(
        repository,
        name,
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        [("x", "FP32", PLANE)],
        [("y", "FP32", PLANE)],
        {"factor": np.float32([factor])},
        extra,
    )


def write_slow(repository: Path, name: str, rounds: int, width: int = 1024) -> None:
    """x multiplied by an orthogonal matrix `rounds` times on one thread: about 0.1 s for 50 rounds of 1024."""
    nodes = [
        helper.make_node("MatMul", ["x" if i == 0 else f"v{i}", "m"], ["y" if i == rounds - 1 else f"v{i + 1}"])
        for i in range(rounds)
    ]
    matrix = np.roll(np.eye(width, dtype=np.float32), 1, axis=1)
    tensor: tuple[int | str, ...] = ("batch", 64, width)
    one_thread = 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }'
    write_graph(repository, name, nodes, [("x", "FP32", tensor)], [("y", "FP32", tensor)], {"m": matrix}, one_thread)


def ensemble_config(name: str, steps: Sequence[str]) -> str:
    """Text of an ensemble that passes x through graphs of one input x and one output y."""
    rows = []
    for index, model in enumerate(steps):
        source, target = ("x" if index == 0 else f"v{index}", "y" if index == len(steps) - 1 else f"v{index + 1}")
        rows.append(
            f'{{ model_name: "{model}" model_version: -1 '
            f'input_map {{ key: "x" value: "{source}" }} output_map {{ key: "y" value: "{target}" }} }}'
        )
    return f'platform: "ensemble"\nensemble_scheduling {{ step [ {", ".join(rows)} ] }}'


def write_ensemble(repository: Path, name: str, steps: Sequence[str]) -> None:
    """An ensemble of graphs that take and give FP32 [batch, 2, h, w]."""
    write_config(repository, name, [("x", "FP32", PLANE)], [("y", "FP32", PLANE)], ensemble_config(name, steps))


def _dims(dims: Sequence[int | str], batch: int) -> str:
    own = dims[1:] if batch else dims
    return ", ".join(str(size) if isinstance(size, int) else "-1" for size in own)
