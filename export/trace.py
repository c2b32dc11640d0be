"""From a torch module to an ONNX file whose batch, rows and latent size are free."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.onnx._internal.torchscript_exporter._globals import GLOBALS

from export import hollow, initializers, memory
from export.stored import RESIDENT
from export.verify import Size
from families.tensors import Part

OPSET = 18
EXTERNAL_OVER = 256 << 20
"""Weights of more bytes than this go into a file beside the graph: one protobuf message ends at 2 GiB, and is in memory
twice while it is written."""
SKELETON = "skeleton.onnx"

# Traced at a latent that is odd and not square: at an even one the UNet's "is the next skip twice my size" would be
# answered once, at trace time, and the graph would break at 24x20.
TRACED = Size(batch=2, rows=2, height=15, width=21, depth=3)


def trace(
    module: nn.Module,
    part: Part,
    inputs: Mapping[str, Tensor],
    target: Path,
    external_over: int = EXTERNAL_OVER,
) -> None:
    """Write the graph of `module` to `target`, named and free in the dimensions that `part` declares.

    `inputs` are example tensors in the order of the module's parameters, at the size TRACED. The exporter copies
    weights several times; `trace_hollow` does not.
    """
    _export(module, part, inputs, target, do_constant_folding=True)
    _gather_weights(target, external_over)


def trace_hollow(
    module: nn.Module, part: Part, inputs: Mapping[str, Tensor], target: Path, external_over: int = EXTERNAL_OVER
) -> None:
    """As `trace`, for a module that is hollow; its weights are read one after another and never are all in memory.

    Those of more than `external_over` bytes in all go into a file beside `target`.
    """
    skeleton = target.with_name(SKELETON)
    shapes, GLOBALS.onnx_shape_inference = GLOBALS.onnx_shape_inference, False
    with ExitStack() as stack:
        stack.callback(setattr, GLOBALS, "onnx_shape_inference", shapes)
        if hollow.size(module) > RESIDENT:
            stack.enter_context(memory.returned())
        # Weights stay inputs of the graph, and nothing is computed with them: inferring shapes would keep copies.
        _export(
            module,
            part,
            inputs,
            skeleton,
            export_params=False,
            keep_initializers_as_inputs=True,
            do_constant_folding=False,
        )
    graph = onnx.load(skeleton)
    skeleton.unlink()
    initializers.fill(graph, list(inputs), hollow.weights(module), target, external_over)


def _gather_weights(target: Path, external_over: int) -> None:
    """Leave either one file, or the graph and one weights file of a fixed name beside it."""
    scattered = [path for path in target.parent.iterdir() if path != target]
    model = onnx.load(target)
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if not scattered and weights <= external_over:
        return
    onnx.save_model(
        model,
        target,
        save_as_external_data=weights > external_over,
        all_tensors_to_one_file=True,
        location=initializers.WEIGHTS_FILE,
        size_threshold=initializers.SMALLEST_OUTSIDE,
    )
    for path in scattered:
        path.unlink()


def _export(module: nn.Module, part: Part, inputs: Mapping[str, Tensor], target: Path, **settings: Any) -> None:
    axes = {
        tensor.name: {0: "B"}
        | {i: f"{tensor.name}_{i}" for i, dim in enumerate(tensor.dims, 1) if isinstance(dim, str)}
        for tensor in (*part.inputs, *part.outputs)
    }
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        # The tracer warns of every `if` on a shape; the sizes that are verified afterwards answer for them.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(target),
            input_names=list(inputs),
            output_names=[tensor.name for tensor in part.outputs],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
            **settings,
        )
