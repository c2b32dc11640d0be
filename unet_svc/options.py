"""Turn a request's scheduler options into constructor arguments, with notes on what the scheduler does not support."""

from dataclasses import dataclass
from typing import Any

import diffusers

from families.facts import ModelFacts
from mesh.errors import InvalidInput
from unet_svc.schedulers import ALGORITHM_TYPES, SCHEDULERS, SchedulerKind, default_scheduler
from unet_svc.task import Task

# A scheduler accepts only one spacing at a time.
_OTHER_SPACINGS = ("use_exponential_sigmas", "use_beta_sigmas")
# These divide by the last sigma, so it can't be zero.
_NEEDS_A_LEAST_SIGMA = frozenset({"dpmsolver", "sde-dpmsolver"})
# PNDM's Runge-Kutta start, each step of which makes several model calls.
_WARM_UP_STEPS = 4
_INVERTED_SPACINGS = frozenset({"leading", "trailing"})


@dataclass(frozen=True, slots=True)
class Options:
    """Arguments of the scheduler's constructor in addition to the model's configuration, and notes for the caller."""

    arguments: dict[str, Any]
    notes: tuple[str, ...] = ()


def read_options(kind: SchedulerKind, task: Task) -> Options:
    """The options of `task` for the scheduler `kind`.

    Raises:
        InvalidInput: an algorithm_type that no scheduler has.
    """
    config, algorithm_type = {**task.facts.scheduler, **kind.flow_options}, task.algorithm_type
    if algorithm_type and algorithm_type not in ALGORITHM_TYPES:
        known = ", ".join(ALGORITHM_TYPES)
        raise InvalidInput(f"algorithm_type {algorithm_type!r} is unknown; known: {known}", field="algorithm_type")
    parts = (
        _spacing(kind, config, task.use_karras_sigmas),
        _solver(kind, config, algorithm_type),
        _warm_up(kind, config, task),
        _inversion(kind, config, task.strength),
        _distilled(kind, task.facts),
    )
    # The shift of a flow has another name where the scheduler is not of flows alone.
    flow = {**kind.flow_options, "flow_shift": config.get("shift", 1.0)} if kind.flow_options else {}
    arguments = flow | {name: value for part in parts for name, value in part.arguments.items()}
    return Options(arguments, tuple(note for part in parts for note in part.notes))


def _spacing(kind: SchedulerKind, config: dict[str, Any], wanted: bool | None) -> Options:
    if not kind.karras_sigmas:
        note = f"{kind.name} does not support use_karras_sigmas, which was ignored."
        return Options({}, (note,) if wanted else ())
    if wanted is None:
        return Options({})
    others = {name: False for name in _OTHER_SPACINGS if wanted and config.get(name)}
    return Options({"use_karras_sigmas": wanted, **others})


def _solver(kind: SchedulerKind, config: dict[str, Any], wanted: str) -> Options:
    if wanted and wanted not in kind.algorithm_types:
        takers = ", ".join(other.name for other in SCHEDULERS.values() if wanted in other.algorithm_types)
        note = f"{kind.name} does not support algorithm_type {wanted!r}, which was ignored; supported by {takers}."
        return Options(_solver(kind, config, "").arguments, (note,))
    if not kind.algorithm_types:
        return Options({})
    # The configuration may be of another scheduler, with a variant that this one would refuse.
    own = config.get("algorithm_type")
    chosen = wanted or (own if own in kind.algorithm_types else kind.algorithm_types[0])
    least = {"final_sigmas_type": "sigma_min"} if chosen in _NEEDS_A_LEAST_SIGMA else {}
    return Options({"algorithm_type": chosen, **least})


def _warm_up(kind: SchedulerKind, config: dict[str, Any], task: Task) -> Options:
    if kind.cls is not diffusers.PNDMScheduler or config.get("skip_prk_steps"):
        return Options({})
    if task.mask is not None and not task.hints:
        # diffusers' pipeline for this case, StableDiffusionInpaintPipeline, skips it at any number of steps.
        return Options({"skip_prk_steps": True})
    if task.steps >= _WARM_UP_STEPS:
        return Options({})
    note = f"{kind.name} skipped its Runge-Kutta start, which needs {_WARM_UP_STEPS} steps or more."
    return Options({"skip_prk_steps": True}, (note,))


def _inversion(kind: SchedulerKind, config: dict[str, Any], strength: float | None) -> Options:
    if not kind.inverts:
        return Options({})
    notes = () if strength is None else (f"{kind.name} always runs all its steps; strength was ignored.",)
    spacing = config.get("timestep_spacing", "leading")
    if spacing in _INVERTED_SPACINGS:
        return Options({}, notes)
    note = f"{kind.name} does not support the model's timestep spacing ({spacing}); it used leading."
    return Options({"timestep_spacing": "leading"}, (*notes, note))


def _distilled(kind: SchedulerKind, facts: ModelFacts) -> Options:
    """A note for models that are not distilled; a distilled model is recognised by its own scheduler."""
    if kind.cls is not diffusers.LCMScheduler or default_scheduler(facts) == kind.name:
        return Options({})
    note = "LCMScheduler needs a model that was distilled for it, which this one is not: pictures will look flat."
    return Options({}, (note,))
