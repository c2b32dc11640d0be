"""Verify the graphs combined: one step of an ensemble, as Triton would run it, compared with diffusers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from export import hollow, verify
from export.families.family import ExportFamily
from export.parts import Modules
from export.stored import RESIDENT
from families import graphs as names
from families.facts import ModelFacts
from families.table import family_of

SIZE = verify.Size(batch=2, rows=2, height=9, width=13)


def combinations(facts: ModelFacts) -> tuple[tuple[str, ...], ...]:
    """The combinations to check: without control, each ControlNet alone, and all of them with the first one twice."""
    nets = tuple(net.name for net in facts.nets)
    together = tuple(sorted((*nets, *nets[:1])))
    return ((), *((net,) for net in nets), *((together,) if together else ()))


def check(
    family: ExportFamily,
    facts: ModelFacts,
    modules: Modules,
    sessions: Mapping[str, verify.Graph],
    nets: Sequence[str],
    tolerance: float = verify.TOLERANCE,
    resident: int = RESIDENT,
) -> float:
    """Run one guided denoising step with `nets` (sorted, may repeat, may be empty) through the written graphs.

    `sessions` has every graph by name. Compared with diffusers' own classes, whose weights are in memory only as long
    as these compute, and at most `resident` bytes of them. Returns the largest absolute difference of the prediction;
    raises Mismatch.
    """
    size = replace(SIZE, chunks=verify.LONG_TEXT if family_of(facts).chunked else 1)
    inputs = verify.example(names.step_inputs(facts, nets), facts, size)
    for place in range(len(nets)):
        # A hint of its own for each control, and one weight for all residuals: that is what diffusers knows.
        seed = torch.Generator().manual_seed(place)
        hint, scale = inputs[names.hint(place)], inputs[names.scale(place)]
        if hint.dtype == torch.uint8:
            inputs[names.hint(place)] = torch.randint(0, 256, hint.shape, generator=seed).to(torch.uint8)
        else:
            inputs[names.hint(place)] = torch.randn(hint.shape, generator=seed)
        inputs[names.scale(place)] = torch.full_like(scale, 0.4 + 0.3 * place)
    with torch.no_grad(), hollow.filled(*modules.named().values(), resident=resident):
        theirs = family.step(facts, modules, nets, inputs)
    ours = through(facts, sessions, nets, inputs)
    return verify.compare(names.denoise(facts.name, nets), ours, theirs, tolerance)


def through(
    facts: ModelFacts, sessions: Mapping[str, verify.Graph], nets: Sequence[str], inputs: Mapping[str, Tensor]
) -> Tensor:
    """The prediction of the ensemble of `nets`: its steps in their order, each by its own session."""
    known = dict(inputs)
    config = names.denoise_config(facts, nets)
    for step in config.ensemble_scheduling.step:
        graph = names.part(facts, step.model_name)
        made = verify.run(sessions[graph.graph], {t.name: known[step.input_map[t.name]] for t in graph.inputs})
        known |= {step.output_map[t.name]: x for t, x in zip(graph.outputs, made, strict=True)}
    return known[config.output[0].name]
