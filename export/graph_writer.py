"""The part of an export that needs torch: load, trace and verify each graph, into the staging folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from export import chain, fingerprint, preview, trace, verify
from export.errors import Mismatch, SourceRefused
from export.families.family import ExportFamily, Row
from export.families.table import FAMILIES
from export.hostile import refusing
from export.options import Options, Progress
from export.parts import Source
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
    sessions, worst = {}, {}
    with threads(options.threads):
        for row in family.rows(facts, modules):
            graph = row.part.graph
            sessions[graph], worst[graph] = make_graph(family, row, facts, options, stage, begin)
        for nets in chains:
            begin(f"{names.denoise(facts.name, nets)}: verifying")
            chain.check(family, facts, modules, sessions, nets, tolerance)
    begin("fitting previews")
    encoder = sessions[names.vae_encoder(facts.name)]
    fitted = preview.fit(
        lambda pictures: np.asarray(encoder.run(["mean"], encoder_inputs(facts, pictures))[0]), facts.downscale
    )
    return Made({graph: graph_facts(stage / graph, worst[graph]) for graph in sorted(worst)}, fitted)


def require_finite(what: str, module: Any) -> None:
    """Raise SourceRefused if a weight of `module` is not a finite number: its pictures would show nothing."""
    broken = next((name for name, weight in module.state_dict().items() if not bool(weight.isfinite().all())), None)
    if broken is not None:
        raise SourceRefused(f"{what}: weight {broken} has numbers that are not finite (NaN or infinite)")


def make_graph(
    family: ExportFamily, row: Row, facts: ModelFacts, options: Options, stage: Path, begin: Callable[[str], None]
) -> tuple[onnxruntime.InferenceSession, float]:
    """Write one graph under `stage` and compare it with its reference; returns its session and the largest difference.

    Reports two steps to `begin`. Raises Mismatch.
    """
    graph = row.part.graph
    external_over = trace.EXTERNAL_OVER if options.external_over is None else options.external_over
    path = stage / graph / "1" / GRAPH_FILE
    path.parent.mkdir(parents=True)
    begin(f"{graph}: tracing")
    inputs = verify.example(row.part.inputs, facts, trace.TRACED)
    try:
        with family.written_for_graphs(row.module):
            trace.trace(row.module, row.part, inputs, path, external_over)
    except (ValueError, RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise Mismatch(f"{graph} cannot be written as a graph: {error}") from error
    begin(f"{graph}: verifying")
    session = verify.session(path, options.threads)
    return session, verify.check(session, row.part, facts, row.reference, _tolerance(options))


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
