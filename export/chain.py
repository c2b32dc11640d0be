"""Verify the graphs combined: ControlNets, their sum and the UNet as one step, compared with diffusers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import MultiControlNetModel
from onnxruntime import InferenceSession
from torch import Tensor

from export import verify
from export.graphs import controlnet, rows, unet
from families import graphs as names
from families.manifest import ModelFacts

SIZE = verify.Size(batch=2, rows=2, height=9, width=13, chunks=2)


def combinations(facts: ModelFacts) -> tuple[tuple[str, ...], ...]:
    """The combinations to check: without control, each kind alone, and all kinds with the first one twice."""
    alone = tuple((kind,) for kind in facts.controls)
    together = tuple(sorted((*facts.controls, *facts.controls[:1])))
    return ((), *alone, *((together,) if together else ()))


def check(
    facts: ModelFacts,
    modules: Any,
    sessions: Mapping[str, InferenceSession],
    kinds: Sequence[str],
    tolerance: float = verify.TOLERANCE,
) -> float:
    """Run one guided denoising step with `kinds` (sorted, may repeat, may be empty) through the written graphs.

    `modules` is an `export.load.Modules`, `sessions` has every graph by name.
    Compared with MultiControlNetModel and UNet2DConditionModel. Returns the largest absolute difference of the
    prediction; raises Mismatch.
    """
    part = names.part(facts, names.unet(facts.name))
    step = verify.example(part, facts, SIZE)
    hints = [_hint(facts, kind, index) for index, kind in enumerate(kinds)]
    scales = [0.4 + 0.3 * index for index in range(len(kinds))]
    ours = _through_graphs(facts, sessions, kinds, step, hints, scales)
    with torch.no_grad():
        theirs = _through_diffusers(modules, kinds, step, hints, scales)
    return verify.compare(names.denoise(facts.name, kinds), ours, theirs, tolerance)


def _hint(facts: ModelFacts, kind: str, index: int) -> Tensor:
    seed = torch.Generator().manual_seed(index)
    pixels = (SIZE.height * facts.downscale, SIZE.width * facts.downscale)
    return torch.randint(0, 256, (SIZE.batch, names.hint_channels(kind), *pixels), generator=seed).to(torch.uint8)


def _through_graphs(
    facts: ModelFacts,
    sessions: Mapping[str, InferenceSession],
    kinds: Sequence[str],
    step: Mapping[str, Tensor],
    hints: Sequence[Tensor],
    scales: Sequence[float],
) -> Tensor:
    shared = {key: step[key] for key in ("sample", "text")}
    total = verify.run(sessions[names.no_control(facts.name)], shared)
    for index, (kind, hint, strength) in enumerate(zip(kinds, hints, scales, strict=True)):
        scale = torch.full((SIZE.batch, SIZE.rows, len(facts.residuals)), strength)
        inputs = {**shared, "timestep": step["timestep"], "hint": hint, "scale": scale}
        made = verify.run(sessions[names.controlnet(facts.name, kind)], inputs)
        if index == 0:
            total = made
            continue
        addends = {f"a_{i}": x for i, x in enumerate(total)} | {f"b_{i}": x for i, x in enumerate(made)}
        total = verify.run(sessions[names.add_residuals(facts.name)], addends)
    whole = {key: step[key] for key in ("sample", "timestep", "text", "guidance")}
    whole |= {names.residual(i): x for i, x in enumerate(total)}
    return verify.run(sessions[names.unet(facts.name)], whole)[0]


def _through_diffusers(
    modules: Any,
    kinds: Sequence[str],
    step: Mapping[str, Tensor],
    hints: Sequence[Tensor],
    scales: Sequence[float],
) -> Tensor:
    sample, timestep = rows.repeat(step["sample"], SIZE.rows), rows.repeat(step["timestep"], SIZE.rows).reshape(-1)
    text, residuals = rows.merge(step["text"]), {}
    if kinds:
        down, middle = MultiControlNetModel([modules.controlnets[kind] for kind in kinds])(
            sample,
            timestep,
            encoder_hidden_states=text,
            controlnet_cond=[rows.repeat(controlnet.conditioning(hint), SIZE.rows) for hint in hints],
            conditioning_scale=list(scales),
            return_dict=False,
        )
        residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    predicted = modules.unet(sample, timestep, encoder_hidden_states=text, return_dict=False, **residuals)[0]
    return unet.guided(rows.split(predicted, SIZE.rows), step["guidance"])
