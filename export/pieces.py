"""Run a graph whose weights are large in pieces, one after another, so that few of its weights are in memory at once.

The pieces are the graph's own nodes and initializers in their order, and nothing is left out; a runtime only optimizes
nothing across the border of two pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper

from export.initializers import read_by
from export.stored import RESIDENT

PIECE = ".piece.onnx"

Arrays = dict[str, Any]


def session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """Open the graph in ONNX Runtime on the CPU, as a server would."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def size(initializer: TensorProto) -> int:
    """Bytes of an initializer, in the graph or outside."""
    for entry in initializer.external_data:
        if entry.key == "length":
            return int(entry.value)
    return initializer.ByteSize()


@dataclass(frozen=True, slots=True)
class _Piece:
    """Nodes in their order; what they read of earlier ones, and what later ones read of them."""

    nodes: list[NodeProto]
    weights: list[str]
    reads: list[str]
    makes: list[str]


class Pieces:
    """A graph to be run in pieces; it has those methods of an InferenceSession that are used here.

    While it runs, it writes a file without weights beside the graph, and removes it.
    """

    def __init__(self, path: Path, threads: int = 1, most: int = RESIDENT) -> None:
        self._path, self._threads = path, threads
        self._model = onnx.load(path, load_external_data=False)
        graph = self._model.graph
        self._weights = {initializer.name: initializer for initializer in graph.initializer}
        self._pieces = _cut(graph, {name: size(weight) for name, weight in self._weights.items()}, most)

    def __len__(self) -> int:
        """The number of pieces."""
        return len(self._pieces)

    def get_inputs(self) -> list[ValueInfoProto]:
        """The graph's inputs, in their order."""
        return list(self._model.graph.input)

    def get_outputs(self) -> list[ValueInfoProto]:
        """The graph's outputs, in their order."""
        return list(self._model.graph.output)

    def run(self, names: Sequence[str] | None, inputs: Mapping[str, Any]) -> list[Any]:
        """As InferenceSession.run."""
        (found,) = self.run_all([inputs])
        outputs = [value.name for value in self.get_outputs()]
        return [found[outputs.index(name)] for name in names or outputs]

    def run_all(self, cases: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        """All outputs for each of `cases`; each piece is opened once for all of them."""
        known: list[Arrays] = [dict(case) for case in cases]
        outputs = [value.name for value in self.get_outputs()]
        for place, piece in enumerate(self._pieces):
            with self._opened(piece, known) as opened:
                for values in known:
                    made = opened.run(piece.makes, {name: values[name] for name in piece.reads})
                    values.update(zip(piece.makes, made, strict=True))
            needed = {*outputs, *(name for later in self._pieces[place + 1 :] for name in later.reads)}
            for values in known:
                for name in values.keys() - needed:
                    del values[name]
        return [[values[name] for name in outputs] for values in known]

    @contextmanager
    def _opened(self, piece: _Piece, known: Sequence[Arrays]) -> Iterator[onnxruntime.InferenceSession]:
        given = [_declared(name, [values[name] for values in known]) for name in piece.reads]
        made = [ValueInfoProto(name=name) for name in piece.makes]
        weights = [self._weights[name] for name in piece.weights]
        graph = helper.make_graph(piece.nodes, "piece", given, made, weights)
        model = helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)
        path = self._path.with_name(PIECE)
        path.write_bytes(model.SerializeToString())
        try:
            yield session(path, self._threads)
        finally:
            path.unlink()


def _declared(name: str, arrays: Sequence[Any]) -> ValueInfoProto:
    """An input that takes `arrays`; sides that are alike in all are fixed, as that of a list of sizes must be."""
    sides = zip(*(array.shape for array in arrays), strict=True)
    shape = [side[0] if len(set(side)) == 1 else None for side in sides]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(arrays[0].dtype), shape)


def _cut(graph: GraphProto, weights: Mapping[str, int], most: int) -> list[_Piece]:
    # Constants go where they are read, since runtimes infer shapes from them.
    constants = {name: node for node in graph.node if node.op_type == "Constant" for name in node.output}
    groups: list[list[NodeProto]] = [[]]
    held: set[str] = set()
    for node in (node for node in graph.node if node.op_type != "Constant"):
        own = {name for name in read_by(node) if name in weights}
        if groups[-1] and sum(weights[name] for name in held | own) > most:
            groups.append([])
            held = set()
        held |= own
        groups[-1].append(node)
    made_in = {name: place for place, nodes in enumerate(groups) for node in nodes for name in node.output if name}
    inputs = {value.name for value in graph.input}
    reads = [list(dict.fromkeys(name for node in nodes for name in read_by(node))) for nodes in groups]
    earlier = [
        [name for name in names if name in inputs or made_in.get(name, place) < place]
        for place, names in enumerate(reads)
    ]
    later = {name for names in earlier for name in names} | {value.name for value in graph.output}
    return [
        _Piece(
            [*(constants[name] for name in reads[place] if name in constants), *nodes],
            weights=[name for name in reads[place] if name in weights],
            reads=earlier[place],
            makes=[name for node in nodes for name in node.output if name in later],
        )
        for place, nodes in enumerate(groups)
    ]


def bytes_of(path: Path) -> int:
    """Bytes of a graph's file and of the weights beside it."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def open_graph(path: Path, threads: int = 1, most: int = RESIDENT) -> onnxruntime.InferenceSession | Pieces:
    """Open a written graph: as a whole, or in pieces if it has more than `most` bytes."""
    return session(path, threads) if bytes_of(path) <= most else Pieces(path, threads, most)
