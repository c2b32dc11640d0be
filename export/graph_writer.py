"""The part of an export that needs torch: load, trace and verify each graph, into the staging folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from export import chain, fingerprint, hollow, pieces, preview, trace, verify
from export.errors import Mismatch, SourceRefused
from export.families.family import ExportFamily, Row
from export.families.table import FAMILIES
from export.hostile import refusing
from export.options import Options, Progress
from export.parts import Source
from export.stored import RESIDENT
from families import graphs as names
from families.facts import ModelFacts
from families.manifest import GraphFacts
from families.pictures import encoder_inputs

GRAPH_FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class Made:
    """Facts of the written graphs for the card; the fields are those of `Manifest`."""

    graphs: dict[str, GraphFacts]
    preview: preview.Map


def make_graphs(source: Source, facts: ModelFacts, options: Options, stage: Path, progress: Progress) -> Made:
    """Write every graph and the tokenizer under `stage`, each compared with torch or transformers.

    Raises Mismatch for the first that differs, SourceRefused for weights or a tokenizer that do not load.
    """
    tolerance, family = _tolerance(options), FAMILIES[source.family]
    chains = chain.combinations(facts)
    begin = counted(progress, 3 + 2 * len(names.graph_names(facts)) + len(chains))
    begin("tokenizer")
    (stage / facts.name).mkdir()
    for folder, encoder in zip(source.tokenizers.values(), facts.encoders, strict=True):
        with refusing("tokenizer"):
            family.write_tokenizer(folder, stage / facts.name / encoder.tokenizer, encoder)
    begin("loading weights")
    with refusing("weights"):
        modules = family.load(source)
    for name, module in modules.named().items():
        require_finite(name, module)
    worst, written = {}, _Written(stage, options)
    with threads(options.threads):
        for row in family.rows(facts, modules):
            opened, worst[row.part.graph] = make_graph(family, row, facts, options, stage, begin)
            written.keep(row.part.graph, opened)
        for nets in chains:
            begin(f"{names.denoise(facts.name, nets)}: verifying")
            chain.check(family, facts, modules, written, nets, tolerance, _resident(options))
    begin("fitting previews")
    encoder = written[names.vae_encoder(facts.name)]
    fitted = preview.fit(
        lambda pictures: np.asarray(encoder.run(["mean"], encoder_inputs(facts, pictures))[0]), facts.downscale
    )
    return Made({graph: graph_facts(stage / graph, worst[graph]) for graph in sorted(worst)}, fitted)


class _Written(Mapping[str, verify.Graph]):
    """The graphs under a folder by name, opened when they are asked for, unless they were kept open."""

    def __init__(self, stage: Path, options: Options) -> None:
        self._stage, self._options = stage, options
        self._open: dict[str, verify.Graph] = {}

    def keep(self, graph: str, opened: verify.Graph) -> None:
        """Keep a graph open if it is small."""
        if pieces.bytes_of(self._path(graph)) * 10 <= _resident(self._options):
            self._open[graph] = opened

    def __getitem__(self, graph: str) -> verify.Graph:
        if graph in self._open:
            return self._open[graph]
        return pieces.open_graph(self._path(graph), self._options.threads, _resident(self._options))

    def _path(self, graph: str) -> Path:
        return self._stage / graph / "1" / GRAPH_FILE

    def __iter__(self) -> Iterator[str]:
        return (path.name for path in self._stage.iterdir() if (path / "1" / GRAPH_FILE).is_file())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def require_finite(what: str, module: Any) -> None:
    """Raise SourceRefused if a weight of a hollow module is not a finite number: its pictures would show nothing."""
    for name, weight in hollow.weights(module, once=True).items():
        if not bool(weight.read().isfinite().all()):
            raise SourceRefused(f"{what}: weight {name} has numbers that are not finite (NaN or infinite)")


def make_graph(
    family: ExportFamily, row: Row, facts: ModelFacts, options: Options, stage: Path, begin: Callable[[str], None]
) -> tuple[verify.Graph, float]:
    """Write one graph under `stage` and compare it with its reference; returns it, open, and the largest difference.

    Reports two steps to `begin`. Raises Mismatch.
    """
    graph, resident = row.part.graph, _resident(options)
    external_over = trace.EXTERNAL_OVER if options.external_over is None else options.external_over
    path = stage / graph / "1" / GRAPH_FILE
    path.parent.mkdir(parents=True)
    begin(f"{graph}: tracing")
    inputs = verify.example(row.part.inputs, facts, trace.TRACED)
    try:
        with family.written_for_graphs(row.module):
            trace.trace_hollow(row.module, row.part, inputs, path, external_over)
    except (ValueError, RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise Mismatch(f"{graph} cannot be written as a graph: {error}") from error
    begin(f"{graph}: verifying")
    # torch's answers first: its weights and ONNX Runtime's are never in memory together.
    with hollow.filled(row.module, resident=resident):
        known = verify.cases(row.part, facts, row.reference, few=hollow.size(row.module) > resident)
    opened = pieces.open_graph(path, options.threads, resident)
    return opened, verify.check_cases(opened, row.part, known, _tolerance(options))


def _resident(options: Options) -> int:
    return RESIDENT if options.resident is None else options.resident


def _tolerance(options: Options) -> float:
    return verify.TOLERANCE if options.tolerance is None else options.tolerance


def graph_facts(folder: Path, error: float) -> GraphFacts:
    """Facts of the graph written into `folder`."""
    files = fingerprint.graph_files(folder)
    size = sum(path.stat().st_size for path in files)
    return GraphFacts(sha256=fingerprint.sha256(files), bytes=size, max_abs_error=error)


def counted(progress: Progress, total: int) -> Callable[[str], None]:
    """A function that reports to `progress` the begin of each of `total` steps."""
    done = 0

    def begin(doing: str) -> None:
        nonlocal done
        progress(doing, done, total)
        done += 1

    return begin


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads inside the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
