"""Give a graph whose weights are inputs these weights as initializers, read and written one after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.stored import Weight

WEIGHTS_FILE = "model.onnx.data"
SMALLEST_OUTSIDE = 1024
"""Bytes of an initializer below which it stays in the graph."""
_PAGE = 4096
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)

Array = NDArray[np.generic]


def fill(
    model: ModelProto, inputs: Sequence[str], weights: Mapping[str, Weight], target: Path, external_over: int
) -> None:
    """Write `model` to `target`, all that is no one of its `inputs` as initializers.

    What the graph computes of weights and constants alone, such as the transpose of a linear layer's weight, is
    computed here, and its result stored in their place.

    Args:
        model: a graph with the weights as inputs; it is changed.
        inputs: names of inputs that stay.
        weights: by the graph's names.
        target: the file; weights of more than `external_over` bytes in all go into WEIGHTS_FILE beside it.
    """
    graph = model.graph
    given = [value for value in graph.input if value.name in set(inputs)]
    known = {value.name: weights[value.name] for value in graph.input if value.name not in set(inputs)}
    fixed = _Fixed.of(graph, known)
    outside = sum(weight.bytes for weight in known.values()) > external_over
    del graph.input[:]
    graph.input.extend(given)
    del graph.node[:]
    graph.node.extend(fixed.kept)
    if not outside:
        graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in fixed.arrays(model, known))
    else:
        with target.with_name(WEIGHTS_FILE).open("wb") as data:
            graph.initializer.extend(_outside(data, name, array) for name, array in fixed.arrays(model, known))
    target.write_bytes(model.SerializeToString())


def _outside(data: BinaryIO, name: str, array: Array) -> TensorProto:
    """An initializer that lies in `data`, unless it is small."""
    if array.nbytes < SMALLEST_OUTSIDE:
        return numpy_helper.from_array(array, name)
    # At the begin of a page: runtimes map the file.
    data.seek(-(-data.tell() // _PAGE) * _PAGE)
    made = TensorProto(
        name=name,
        dims=array.shape,
        data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (("location", WEIGHTS_FILE), ("offset", data.tell()), ("length", array.nbytes)):
        made.external_data.add(key=key, value=str(value))
    data.write(memoryview(np.ascontiguousarray(array)).cast("B"))
    return made


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What is the same in every call of a graph.

    `kept` are the nodes that depend on inputs, and constants that these read; `makers` the others, by what they make;
    `wanted` the names that the kept ones read of weights and of `makers`; `order` is the place of each of these by id.
    """

    kept: list[NodeProto] = field(default_factory=list)
    makers: dict[str, NodeProto] = field(default_factory=dict)
    wanted: list[str] = field(default_factory=list)
    order: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: GraphProto, weights: Iterable[str]) -> _Fixed:
        """Sort the nodes of `graph`, which stand in the order of their computation."""
        made, fixed = cls(), set(weights)
        for node in graph.node:
            if node.op_type not in _RANDOM and not _bodies(node) and fixed.issuperset(filter(None, node.input)):
                fixed.update(node.output)
                made.makers.update(dict.fromkeys(node.output, node))
                made.order[id(node)] = len(made.order)
            else:
                made.kept.append(node)
        read = [*(name for node in made.kept for name in read_by(node)), *(value.name for value in graph.output)]
        made.wanted.extend(dict.fromkeys(name for name in read if name in fixed))
        constants = [name for name in made.wanted if name in made.makers and made.makers[name].op_type == "Constant"]
        made.kept[:0] = [made.makers[name] for name in constants]
        for name in constants:
            made.wanted.remove(name)
        return made

    def arrays(self, model: ModelProto, weights: Mapping[str, Weight]) -> Iterator[tuple[str, Array]]:
        """Every initializer with its name; what is made of the same weights is made together."""
        together: dict[tuple[str, ...], list[str]] = {}
        for name in self.wanted:
            if name in self.makers:
                together.setdefault(tuple(sorted(self._nodes([name])[1])), []).append(name)
            else:
                yield name, weights[name].read().numpy()
        for sources, names in together.items():
            yield from zip(names, self._computed(model, names, {name: weights[name] for name in sources}), strict=True)

    def _nodes(self, names: Iterable[str]) -> tuple[list[NodeProto], set[str]]:
        """The nodes that make `names`, in their order, and the names of weights that they read."""
        nodes: dict[int, NodeProto] = {}
        weights: set[str] = set()
        open_names = list(names)
        while open_names:
            name = open_names.pop()
            node = self.makers.get(name)
            if node is None:
                weights.add(name)
            elif id(node) not in nodes:
                nodes[id(node)] = node
                open_names.extend(filter(None, node.input))
        return sorted(nodes.values(), key=lambda node: self.order[id(node)]), weights

    def _computed(self, model: ModelProto, names: Sequence[str], weights: Mapping[str, Weight]) -> list[Array]:
        given = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, weight.shape) for name, weight in weights.items()
        ]
        made = [onnx.ValueInfoProto(name=name) for name in names]
        small = helper.make_model(
            helper.make_graph(self._nodes(names)[0], "fixed", given, made),
            opset_imports=model.opset_import,
            ir_version=model.ir_version,
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(small.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found: list[Array] = session.run(None, {name: weight.read().numpy() for name, weight in weights.items()})
        return found


def _bodies(node: NodeProto) -> list[GraphProto]:
    """The graphs inside a node, such as the branches of an If."""
    inside: list[GraphProto] = []
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            inside.append(attribute.g)
        elif attribute.type == AttributeProto.GRAPHS:
            inside.extend(attribute.graphs)
    return inside


def read_by(node: NodeProto) -> Iterator[str]:
    """Names that a node reads, also those that graphs inside it do."""
    yield from filter(None, node.input)
    for body in _bodies(node):
        for inner in body.node:
            yield from read_by(inner)
