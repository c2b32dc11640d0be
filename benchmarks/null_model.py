"""Build a null model: graphs with the demo's shapes and transport that compute almost nothing.

A denoising step of it takes as long as the overhead of a step: the loop, gRPC, shared memory, Triton's ensembles and
batching, residuals passed from graph to graph.
"""

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from families import graphs
from families.manifest import Manifest, read_manifest, tokenizer_paths, write_manifest
from families.tensors import Tensor, stride_of

NAME = "null"
_TYPES = {"FP32": TensorProto.FLOAT, "UINT8": TensorProto.UINT8, "INT64": TensorProto.INT64}


def build(source: Path, repository: Path, model: str = "demo") -> Manifest:
    """Write the null twin of `model` of `source` into `repository`.

    The text encoder and the VAE are the model's own graphs under another name: they are not part of a step.
    """
    shutil.rmtree(repository, ignore_errors=True)
    original = read_manifest(source, model)
    twin = msgspec.structs.replace(original, name=NAME)
    for config in graphs.configs(twin).values():
        folder = repository / config.name
        # An ensemble has a version folder, too, with nothing in it.
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text(graphs.to_pbtxt(config))
    for graph in graphs.graph_names(twin):
        path = repository / graph / "1" / "model.onnx"
        original_path = source / graph.replace(NAME, model, 1) / "1" / "model.onnx"
        if graph in (graphs.unet(NAME), *(graphs.controlnet(NAME, net.name) for net in twin.nets)):
            onnx.save(_idle(twin, graph), path)
        else:
            shutil.copy(original_path, path)
    (repository / NAME).mkdir()
    for theirs, ours in zip(tokenizer_paths(source, original), tokenizer_paths(repository, twin), strict=True):
        shutil.copy(theirs, ours)
    write_manifest(repository / NAME, twin)
    return twin


def _idle(facts: Manifest, graph: str) -> onnx.ModelProto:
    part = graphs.part(facts, graph)
    inputs = [_value(tensor) for tensor in part.inputs]
    outputs = [_value(tensor) for tensor in part.outputs]
    if graph == graphs.unet(facts.name):
        nodes, constants = [helper.make_node("Identity", ["sample"], ["prediction"])], []
    else:
        nodes, constants = _zero_residuals(facts)
    made = helper.make_graph(nodes, graph, inputs, outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def _zero_residuals(facts: Manifest) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Zeros [B, R, C, ceil(h / stride), ceil(w / stride)] for each residual, from the inputs' shapes alone."""
    nodes = [
        helper.make_node("Shape", ["sample"], ["batch"], start=0, end=1),
        helper.make_node("Shape", ["text"], ["rows"], start=1, end=2),
        helper.make_node("Shape", ["sample"], ["cells"], start=2, end=4),
    ]
    constants = [numpy_helper.from_array(np.array([1], np.int64), "one")]
    for index, (_, channels, height, _) in enumerate(facts.residuals):
        stride = stride_of(height)
        constants += [
            numpy_helper.from_array(np.array([channels], np.int64), f"channels_{index}"),
            numpy_helper.from_array(np.array([stride], np.int64), f"stride_{index}"),
        ]
        nodes += [
            helper.make_node("Add", ["cells", f"stride_{index}"], [f"padded_{index}"]),
            helper.make_node("Sub", [f"padded_{index}", "one"], [f"raised_{index}"]),
            helper.make_node("Div", [f"raised_{index}", f"stride_{index}"], [f"size_{index}"]),
            helper.make_node(
                "Concat", ["batch", "rows", f"channels_{index}", f"size_{index}"], [f"shape_{index}"], axis=0
            ),
            helper.make_node("ConstantOfShape", [f"shape_{index}"], [graphs.residual(index)]),
        ]
    return nodes, constants


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    dims: list[str | int] = ["batch"]
    dims += [f"{tensor.name}_{axis}" if isinstance(size, str) else size for axis, size in enumerate(tensor.dims)]
    return helper.make_tensor_value_info(tensor.name, _TYPES[tensor.dtype], dims)
