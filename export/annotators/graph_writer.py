"""The part of an annotator's export that needs torch: load, trace and verify each graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from export import trace, verify
from export.annotators import checking
from export.annotators.architecture import Loaded
from export.annotators.source import Source
from export.errors import Mismatch, SourceRefused
from export.graph_writer import GRAPH_FILE, counted, graph_facts, threads
from export.hostile import refusing
from export.options import Options, Progress
from families import annotators
from families.manifest import GraphFacts
from families.pictures import PICTURE


def make_graphs(
    source: Source, heads: Mapping[str, str], options: Options, stage: Path, progress: Progress
) -> tuple[Loaded, dict[str, GraphFacts]]:
    """Write every graph under `stage`, each compared with its architecture's reference.

    Raises Mismatch for the first that differs, SourceRefused for weights that do not load.
    """
    tolerance = checking.TOLERANCE if options.tolerance is None else options.tolerance
    external_over = trace.EXTERNAL_OVER if options.external_over is None else options.external_over
    begin = counted(progress, 1 + 2 * len(source.heads))
    begin("loading weights")
    loaded = load(source)
    facts = {}
    with threads(options.threads):
        for graph in loaded.graphs:
            part = annotators.part(heads[graph.heads[0]], graph.heads)
            path = stage / part.graph / "1" / GRAPH_FILE
            path.parent.mkdir(parents=True)
            begin(f"{part.graph}: tracing")
            inputs = {PICTURE.name: checking.pictures(checking.traced(loaded))}
            try:
                trace.trace(graph.module, part, inputs, path, external_over)
            except (ValueError, RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
                raise Mismatch(f"{part.graph} cannot be written as a graph: {error}") from error
            begin(f"{part.graph}: verifying")
            worst = checking.check(verify.session(path, options.threads), part, graph, loaded, tolerance)
            facts[part.graph] = graph_facts(stage / part.graph, worst)
    return loaded, facts


def load(source: Source) -> Loaded:
    """Read the weights. Raises SourceRefused if they, or a library that they need, are missing."""
    row = source.architecture
    try:
        with refusing("annotator", ModuleNotFoundError):
            loaded = row.load(source.path)
    except ModuleNotFoundError as error:
        if not row.requires:
            raise
        raise SourceRefused(
            f"{source.label} needs a library that is not installed: pip install '{row.requires}'"
        ) from error
    made = tuple(graph.heads for graph in loaded.graphs)
    if made != source.heads:
        raise RuntimeError(f"{row.name} announced the heads {source.heads} but made {made}")
    return loaded
